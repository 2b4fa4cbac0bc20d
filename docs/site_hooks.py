"""Hooks of mkdocs: pages that lie outside docs/ are read where they are, and links lead to what the site has.

Links are written as a repository host follows them. On the site a link to a page leads to that page, one to another
file of the repository to a copy of it, and one to a folder is only its text.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "reproduction/README.md": "reproduction/README.md",
    "reproduction/RESULTS.md": "reproduction/RESULTS.md",
}
"""Pages outside docs/, by their place in the repository, and where they stand on the site."""
_SOURCES = {page: source for source, page in PAGES.items()}
_FENCE = re.compile(r"(^ *```.*?^ *```)", flags=re.M | re.S)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site; code stays as it is."""
    place = page.file.src_uri
    source = _SOURCES.get(place, f"docs/{place}")

    def turned(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        text = _LINK.sub(turned, text)  # a picture that is a link
        parts = urlsplit(target)
        if parts.scheme or not parts.path:
            return f"{picture}[{text}]({target})"
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
        if (ROOT / there).is_dir():
            return text
        found = _on_site(there, config, files)
        link = posixpath.relpath(found, posixpath.dirname(place) or ".")
        return f"{picture}[{text}]({link}{'#' * bool(parts.fragment)}{parts.fragment})"

    pieces = _FENCE.split(markdown)
    return "".join(piece if _FENCE.match(piece) else _LINK.sub(turned, piece) for piece in pieces)


def _on_site(there: str, config: MkDocsConfig, files: Files) -> str:
    """Return where a file of the repository stands on the site; one that is no page is copied."""
    if there in PAGES:
        return PAGES[there]
    if there.startswith("docs/"):
        return there.removeprefix("docs/")
    copy = f"files/{there}"
    if (ROOT / there).is_file() and files.get_file_from_path(copy) is None:
        files.append(File.generated(config, copy, abs_src_path=str(ROOT / there)))
    return copy
