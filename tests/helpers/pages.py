"""The documentation's pages and the code that stands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PRELUDE = "docs/methods/README.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


def pages() -> list[str]:
    """Every page that a reader meets, by its place in the repository; those of the gallery run themselves."""
    found = [path for path in DOCS.rglob("*.md") if "gallery" not in path.parts]
    beside = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    return sorted(str(path.relative_to(ROOT)) for path in [*found, *beside, *ROOT.glob("reproduction/*.md")])


def blocks(page: str, language: str = "python") -> list[str]:
    """The code of a page in one language, block by block."""
    return [code for name, code in _FENCE.findall((ROOT / page).read_text()) if name == language]


def prelude() -> list[str]:
    """What the snippets start from: the first block of the methods' front page."""
    return blocks(PRELUDE)[:1]


def commands(page: str) -> Iterator[list[str]]:
    """The words of every shell command of a page, of those in its sentences, too; comments are left out."""
    text = (ROOT / page).read_text()
    for language, code in _FENCE.findall(text):
        if language == "sh":
            yield from _split(code)
        elif not language:
            yield from _split("".join(f"{line[2:]}\n" for line in code.splitlines() if line[:2] == "$ "))
    for code in _INLINE.findall(_FENCE.sub("", text)):
        if code.startswith(("studygroup ", "python ")):
            yield from _split(code.replace("\n", " "))


def _split(code: str) -> Iterator[list[str]]:
    """Split a script into commands, over quotes and lines that go on."""
    pending = ""
    for line in code.splitlines():
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote goes on in the next line
            pending += "\n"
            continue
        pending = ""
        if words:
            yield words
