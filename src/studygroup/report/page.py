"""The page of comparisons, runs and analyses."""

import re
from collections.abc import Sequence
from typing import Any

import markupsafe
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from studygroup.analysis.intervals import CONFIDENCE, FEWEST
from studygroup.report.analyses import Analysed, analysed, of_folders
from studygroup.report.comparisons import comparison
from studygroup.report.marks import WORDS, Mark
from studygroup.report.runs import single, single_title
from studygroup.report.sources import Folders


def page(folders: Folders, *, program: str = "studygroup report") -> str:
    """Return the page of some folders as HTML; `program` is the name of the one that writes it.

    Raises:
        ValueError: a file is damaged.
    """
    return render("page.html", folders, title=_title(folders), program=program)


def render(
    template: str,
    folders: Folders,
    *,
    packages: Sequence[str] = (),
    styles: Sequence[str] = (),
    analyses: Sequence[Analysed] = (),
    **values: Any,
) -> str:
    """Render `page.html`, or a template that extends it, with the contents of folders.

    `packages` have further templates, and `styles` are style sheets among them. `analyses` are shown before those
    of the folders; `values` are for the template, `title` and `program` among them.

    Raises:
        ValueError: a file is damaged.
    """
    loader = ChoiceLoader([PackageLoader(name, "templates") for name in (*packages, "studygroup.report")])
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["coded"] = _coded
    sheets = [loader.get_source(templates, name)[0] for name in ("page.css", *styles)]
    runs = of_folders(folders)
    text = templates.get_template(template).render(
        style=markupsafe.Markup("".join(sheets)),
        comparisons=[comparison(folder) for folder in folders.comparisons],
        runs=[single(folder) for folder in folders.runs],
        analyses=[*analyses, *([analysed("Analyses of the runs", runs)] if runs else [])],
        alone=folders.one_run,
        marks=[(mark.value, words) for mark, words in WORDS.items() if mark is not Mark.NONE],
        confidence=f"{CONFIDENCE:.0%}",
        fewest=FEWEST,
        **values,
    )
    return text + "\n"


def _title(folders: Folders) -> str:
    return single_title(folders.runs[0]) if folders.one_run else "Runs and comparisons"


def _coded(text: str) -> markupsafe.Markup:
    """Return a remark as HTML, with text between backticks as code."""
    return markupsafe.Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(markupsafe.escape(text))))
