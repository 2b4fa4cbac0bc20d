"""What an index would show of the package, as it is installed."""

import re
from importlib.metadata import metadata, version
from pathlib import Path

import yaml

import studygroup as sg

ROOT = Path(__file__).parent.parent


def test_one_version_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert version("studygroup") == sg.__version__ == cited["version"]


def test_the_description_links_to_nothing_that_an_index_lacks():
    shown = metadata("studygroup")["Description"] or metadata("studygroup").get_payload()
    assert shown.startswith("# studygroup\n\nTrain several students")
    readme = (ROOT / "README.md").read_text()
    said = [words for words, place in re.findall(r"(?<!!)\[([^\]!]+)\]\(([^)]+)\)", readme)]
    assert len(said) > 10
    assert all(words in shown for words in said)
    targets = re.findall(r"\]\(([^)]+)\)", shown)
    assert all(target.startswith(("http", "#")) for target in targets), targets


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
