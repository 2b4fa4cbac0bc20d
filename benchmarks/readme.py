"""Writes the README's section of results from `benchmarks/results/papers`.

`python benchmarks/readme.py`; a test fails while README and results differ.
"""

from pathlib import Path

from reproduction.lab import Lab
from reproduction.report.readme import replaced, results
from studygroup.files import write_text

ROOT = Path(__file__).parents[1]
LAB = Lab(run_dir=ROOT / "benchmarks" / "results", results=ROOT / "benchmarks" / "results" / "papers")


def main() -> None:
    readme = ROOT / "README.md"
    write_text(readme, replaced(readme.read_text(encoding="utf-8"), results(LAB)))


if __name__ == "__main__":
    main()
