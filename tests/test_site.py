"""The documentation as a site: it is built without a warning, and its links and anchors lead somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from helpers.pages import ROOT

pytestmark = pytest.mark.slow  # the build takes some 10 s

PUBLIC = (ROOT / "tests" / "public_names.txt").read_text().splitlines()


class Page(HTMLParser):
    """What a page refers to, what it loads, and what on it can be referred to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and "href" in given and "canonical" not in given.get("rel", ""):
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    """The pages of the built site by file."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr
    return {file.resolve(): Page(file) for file in folder.rglob("*.html") if file.name != "404.html"}


def test_links_and_anchors_lead_somewhere(site):
    broken, count = [], 0
    for file, page in site.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            there = there / "index.html" if there.is_dir() else there
            anchor = unquote(parts.fragment)
            count += 1
            if not there.is_file() or (anchor and there in site and anchor not in site[there].anchors):
                broken.append(f"{file.name}: {link}")
    assert not broken
    assert count > 5_000


def test_nothing_is_loaded_from_other_hosts(site):
    assert len(site) >= 50
    outside = {one for page in site.values() for one in page.loaded if urlsplit(one).netloc}
    assert not outside
    folder = min(site, key=lambda file: len(file.parts)).parent
    styles = [file.read_text() for file in folder.rglob("*.css")]
    assert styles
    assert not [url for text in styles for url in re.findall(r"url\(\s*[\"']?(?:https?:)?//[^)]*\)", text)]


def test_every_public_name_is_on_the_pages_of_the_api(site):
    anchors = {
        anchor for page in site.values() for anchor in page.anchors if anchor.startswith("studygroup.")
    }
    shown = {(anchor.split(".")[1], anchor.rpartition(".")[2]) for anchor in anchors}  # package and name
    names = [line.partition("(")[0].removeprefix("studygroup.") for line in PUBLIC]
    packages = {name.partition(".")[0] for name in names if "." in name}
    of_packages = [name.split(".", 1) for name in names if "." in name]
    assert [f"{package}.{name}" for package, name in of_packages if (package, name) not in shown] == []
    known = packages | {name for _, name in shown}
    assert [name for name in names if "." not in name and name not in known] == []
    assert len(of_packages) > 150
