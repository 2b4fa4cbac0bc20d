"""A paper's conclusions in words: what the published numbers say of each, and what ours do."""

from collections.abc import Sequence

from reproduction.tables import Contrast, Place
from reproduction.verdicts import Compared, Judged, Verdict
from studygroup.analysis.intervals import CONFIDENCE, FEWEST

_OF_SEVERAL = {Verdict.HOLDS: "hold", Verdict.FAILS: "do not hold"}


def lines_of(judged: Judged) -> str:
    """A claim for the terminal: verdict and sentence, a line with both sides' numbers, and each comparison."""
    said = f"published numbers: {_in_print(judged)}; here: {_here(judged)}"
    lines = [f"  [{judged.verdict.value}] {_words(judged)}", f"      {said}"]
    return "\n".join([*lines, *(f"        {one}" for one in each_of(judged))])


def cells_of(judged: Judged) -> tuple[str, str, str]:
    """A claim as a row of a table: the sentence, what the published numbers say, the verdict with ours."""
    return _words(judged), _in_print(judged), f"{judged.verdict.value}: {_here(judged)}"


def each_of(judged: Judged) -> Sequence[str]:
    """What came of each comparison that was tested, where a claim makes several."""
    if len(judged.compared) == 1:
        return ()
    pairs = zip(judged.claim.contrasts, judged.compared, strict=True)
    return [
        f"{_named(contrast)}: {compared.verdict.value}, {_interval(compared)}"
        for contrast, compared in pairs
        if compared.difference is not None
    ]


def _named(contrast: Contrast) -> str:
    """A comparison in words: columns of a row, or what one column gains over another in two rows."""
    more, less = ([place for place, weight in contrast.weights if sign * weight > 0] for sign in (1, -1))
    rows = {row for row, _ in contrast.places}
    if len(rows) == 1:
        return f"{rows.pop()}: {_columns(more)} against {_columns(less)}"
    (row, column), (_, over) = more[0], less[0]
    if contrast.equal:
        return f"{column}: {row} as much as {less[0][0]}"
    return f"gain of {column} over {over}: {row} against {less[1][0]}"


def _columns(places: Sequence[Place]) -> str:
    columns = [column for _, column in places]
    return columns[0] if len(columns) == 1 else f"mean of {', '.join(columns)}"


def _words(judged: Judged) -> str:
    """A claim, and how it is read."""
    return f"{judged.claim.says} {judged.claim.note}".strip()


def _in_print(judged: Judged) -> str:
    """What the published numbers say."""
    agree, known = judged.in_print
    if not known:
        return "no numbers"
    if known > 1:
        return f"{agree} of {known} comparisons agree"
    difference = next(value for value in judged.published if value is not None)
    return f"{'agree' if agree else 'disagree'}, {difference:+.3g}"


def _here(judged: Judged) -> str:
    """What the results say in detail."""
    tested = [compared for compared in judged.compared if compared.difference is not None]
    if not judged.compared:
        return "no cell tests it"
    if not tested:
        return f"fewer than {FEWEST} seeds"
    if len(judged.compared) == 1:
        return _interval(tested[0]) + _beside_text(judged.claim.contrasts[0], tested[0])
    counts = {verdict: judged.count(verdict) for verdict in Verdict}
    return ", ".join(f"{count} {_said(verdict, count)}" for verdict, count in counts.items() if count)


def _beside_text(contrast: Contrast, compared: Compared) -> str:
    """Whether the difference that the text prints is ours as well: the verdict is on its direction alone."""
    if contrast.said is None:
        return ""
    within = compared.low <= contrast.said <= compared.high
    return f"; the text's {contrast.said:+.3g} is {'within' if within else 'not within'}"


def _said(verdict: Verdict, count: int) -> str:
    """A verdict on so many comparisons."""
    return _OF_SEVERAL.get(verdict, verdict.value) if count > 1 else verdict.value


def _interval(compared: Compared) -> str:
    if compared.low == compared.high:
        return f"{compared.difference:+.3g}"
    return f"{compared.difference:+.3g} [{compared.low:+.3g}, {compared.high:+.3g}] at {CONFIDENCE:.0%}"
