"""Writes the papers' tables into `reproduction/RESULTS.md`, from `benchmarks/results/papers`.

`python -m reproduction.benchmarks.readme`, from the root of the repository; a test fails while the file and the
results differ.
"""

from pathlib import Path

from reproduction.lab import Lab
from reproduction.reading import tables
from reproduction.show import results_page
from studygroup.files import write_text

HERE = Path(__file__).parent
RESULTS = HERE.parent / "RESULTS.md"
LAB = Lab(run_dir=HERE / "results", results=HERE / "results" / "papers")
BEGIN, END = "<!-- tables: written by benchmarks/readme.py -->", "<!-- end of tables -->"


def with_tables(page: str, text: str) -> str:
    """Replace the text between a page's marks; the new text ends with a line break.

    Raises:
        ValueError: a mark is missing, or they are not in order.
    """
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"the page has no {BEGIN!r} followed by {END!r}; put both where the tables belong")
    return f"{page[: begin + len(BEGIN)]}\n\n{text}\n{page[end:]}"


def main() -> None:
    text = results_page(tuple(tables().values()), LAB)
    write_text(RESULTS, with_tables(RESULTS.read_text(encoding="utf-8"), text))


if __name__ == "__main__":
    main()
