"""The report: everything in one page."""

import json
import shlex
from collections.abc import Sequence
from itertools import groupby

from reproduction.report.analyses import analyses
from reproduction.report.contents import Section
from reproduction.report.gaps import gaps
from reproduction.report.sources import Sources
from reproduction.report.summary import machines, summary
from studygroup.report.page import render


def page(sources: Sources) -> str:
    """Return the whole page as HTML.

    Args:
        sources: what it shows.

    Raises:
        ValueError: results that are damaged, or do not fit together.
    """
    sections = [Section(table, sources.whole, sources.whole.found(table)) for table in sources.tables]
    return render(
        "tables.html",
        sources.folders,
        packages=["reproduction.report"],
        styles=["tables.css"],
        analyses=analyses(sources),
        title="Published numbers and ours",
        program="python -m reproduction report",
        papers=_by_paper(sections),
        summary=summary(sections, sources),
        gaps=gaps(sections, sources.labs),
        machines=machines(sources, sections),
        scale=sources.labs[0].scale.name,
        again=_again(sources),
    )


def _by_paper(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    return [(name, list(some)) for name, some in groupby(sections, lambda section: section.table.paper)]


def _again(sources: Sources) -> str:
    """Return the options behind `python -m reproduction run ID` that make these runs."""
    options = sources.options
    size = {"--scale": options.scale, "--rows": options.rows, "--epochs": options.epochs}
    said = [word for name, value in size.items() if value is not None for word in (name, str(value))]
    return shlex.join([*said, *(("--change", json.dumps(options.change)) if options.change else ())])
