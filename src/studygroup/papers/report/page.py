"""Puts everything into one page: the template's one door."""

import json
import re
import shlex
from collections.abc import Sequence
from itertools import groupby

import markupsafe
from jinja2 import Environment, PackageLoader, StrictUndefined

from studygroup.papers.report.analyses import analyses
from studygroup.papers.report.comparisons import comparison
from studygroup.papers.report.contents import Section, section
from studygroup.papers.report.gaps import gaps
from studygroup.papers.report.marks import WORDS, Mark
from studygroup.papers.report.runs import single
from studygroup.papers.report.sources import Sources
from studygroup.papers.report.summary import machines, summary
from studygroup.papers.verdicts import CONFIDENCE, FEWEST
from studygroup.training.report.style import STYLE


def page(sources: Sources) -> str:
    """The whole page as HTML.

    Args:
        sources: what it shows.

    Raises:
        ValueError: results that are damaged, or do not fit together.
    """
    loader = PackageLoader("studygroup.papers.report", "templates")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["coded"] = _coded
    own, _, _ = loader.get_source(templates, "page.css")
    sections = [section(table, sources) for table in sources.tables]
    text = templates.get_template("page.html").render(
        style=markupsafe.Markup(STYLE + own),
        papers=_by_paper(sections),
        summary=summary(sections, sources) if sections else None,
        gaps=gaps(sections, sources.labs),
        machines=machines(sources, sections),
        scale=sources.labs[0].scale.name if sources.labs else "",
        comparisons=[comparison(folder) for folder in sources.comparisons],
        runs=[single(folder) for folder in sources.runs],
        analyses=analyses(sources),
        marks=[(mark.value, words) for mark, words in WORDS.items() if mark is not Mark.NONE],
        confidence=f"{CONFIDENCE:.0%}",
        fewest=FEWEST,
        again=_again(sources),
    )
    return text + "\n"


def _by_paper(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    return [(name, list(some)) for name, some in groupby(sections, lambda section: section.table.paper)]


def _coded(text: str) -> markupsafe.Markup:
    """A remark, with what stands between backticks as code."""
    return markupsafe.Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(markupsafe.escape(text))))


def _again(sources: Sources) -> str:
    """The options behind `studygroup papers run ID` that make these runs."""
    options = sources.options
    size = {"--scale": options.scale, "--rows": options.rows, "--epochs": options.epochs}
    said = [word for name, value in size.items() if value is not None for word in (name, str(value))]
    return shlex.join([*said, *(("--change", json.dumps(options.change)) if options.change else ())])
