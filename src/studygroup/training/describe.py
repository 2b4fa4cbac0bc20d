"""A finished run in words and tables: for the terminal, the report, and the model card beside its network."""

from typing import NamedTuple

from studygroup.training.export import loading_lines
from studygroup.training.first_run import OVER_SEEDS, is_first_run
from studygroup.training.folder import WEIGHTS, RunFolder
from studygroup.training.scores import TOP5_FROM
from studygroup.training.summary import Summary, TextFigures
from studygroup.training.tables import Rows, text
from studygroup.training.verdict import baseline_verdict
from studygroup.untrusted import in_markdown, printable


class ScoreRow(NamedTuple):
    """A row of the scores on the test rows.

    Attributes:
        cells: name, accuracy in percent and, where there are many classes, top-5 accuracy; see `score_header`.
        ships: whether it is the row of the network that ships.
        chosen: whether it is the row, among several students as they ended, of the student that was chosen.
    """

    cells: tuple[str, ...]
    ships: bool = False
    chosen: bool = False


def score_table(summary: Summary) -> list[ScoreRow]:
    """Return the scores on the test rows: each student, the ensemble, the shipped student, the baseline."""
    test, shipped, run = summary.test, summary.shipped, summary.run
    students, top5 = test.students, test.students_top5
    columns = len(score_header(summary))

    def row(name: str, value: str, five: float, *, ships: bool = False, chosen: bool = False) -> ScoreRow:
        return ScoreRow((name, value, f"{five:.2%}")[:columns], ships, chosen)

    rows = [
        row(f"student {k}", f"{students[k]:.2%}", top5[k], chosen=k == shipped.student and run.students > 1)
        for k in range(len(students))
    ]
    if run.students > 1:
        one = summary.random_student
        rows += [
            row(
                f"mean ± std of {run.students} students", f"{test.mean:.2%} ± {test.std:.2%}", test.mean_top5
            ),
            row(f"a random student ({one})", f"{test.students[one]:.2%}", top5[one]),
            row(
                "ensemble of all students (mean of probabilities)", f"{test.ensemble:.2%}", test.ensemble_top5
            ),
        ]
    anew = ", batch norm re-estimated" if shipped.reestimated_bn else ""
    name = f"shipped: student {shipped.student}{anew}"
    rows.append(row(name, f"{shipped.test:.2%}", shipped.test_top5, ships=True))
    if summary.baseline:
        rows.append(row("plain baseline", f"{summary.baseline.test:.2%}", summary.baseline.test_top5))
    return rows


def score_header(summary: Summary) -> tuple[str, ...]:
    """Return the header of `score_table`; top-5 accuracy is reported from 20 classes on."""
    return ("", "accuracy", "top-5 accuracy")[: 3 if len(summary.run.classes) >= TOP5_FROM else 2]


def cost_rows(summary: Summary) -> Rows:
    """Return the cost of training beside the baseline's.

    Returns:
        Triples of quantity, the method's value and the baseline's; empty where nothing was measured.
    """
    cost, baseline, run = summary.cost, summary.baseline, summary.run
    if not cost or not baseline:
        return []
    low, high = cost.spread
    rows = "texts" if run.texts else "images"
    return [
        ("epochs", str(run.epochs), str(run.epochs)),
        ("updates", str(run.updates), str(baseline.updates)),
        ("training time", f"{run.training_seconds:.1f} s", f"{baseline.training_seconds:.1f} s"),
        (
            f"step on the same {cost.images} {rows}",
            f"{1e3 * cost.seconds:.0f} ms, {cost.ratio:.2f} x ({low:.2f} to {high:.2f}, n = {cost.repeats})",
            f"{1e3 * cost.baseline_seconds:.0f} ms",
        ),
        ("memory of that step", _megabytes(cost.bytes), _megabytes(cost.baseline_bytes)),
        ("parameters in training", f"{cost.parameters:,}", f"{cost.baseline_parameters:,}"),
        ("parameters shipped", f"{cost.baseline_parameters:,}", f"{cost.baseline_parameters:,}"),
    ]


def headline_rows(summary: Summary) -> Rows:
    """Return the most important accuracies on the test rows, the plain network's last."""
    test, run = summary.test, summary.run
    rows = [("the student that ships", f"{summary.shipped.test:.2%}")]
    if run.students > 1:
        rows += [
            (f"mean of the {run.students} students", f"{test.mean:.2%}"),
            (f"the {run.students} students as an ensemble", f"{test.ensemble:.2%}"),
        ]
    if summary.baseline:
        rows.append(("the plain network beside: same rows, same epochs", f"{summary.baseline.test:.2%}"))
    return rows


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def describe_noise(summary: Summary) -> str:
    """Describe the label noise of a run in a few sentences; empty without noise."""
    noise = summary.noise
    if noise is None:
        return ""
    options = ", ".join(f"{k}={v}" for k, v in noise.options.items() if v is not None)
    when = " in the first epoch, and noisy ones are drawn anew in every epoch" if noise.redrawn else ""
    wrong, held = noise.wrong_holdout_labels, summary.holdout.rows
    holdout = (
        f"{wrong} of {held} hold-out labels are wrong, the same in all epochs. Test"
        if wrong
        else "Hold-out and test"
    )
    return (
        f"Label noise: {noise.name}({options}). {noise.wrong_training_labels} of "
        f"{summary.run.train_rows} training labels are wrong{when}. {holdout} labels are the true ones."
    )


def describe_run(folder: RunFolder, summary: Summary, *, finished_before: bool) -> str:
    """Return the closing text: scores, cost, the plain network's path, the lines that load it, and a short result."""
    run, shipped = summary.run, summary.shipped
    parts = [f"The run in {folder.path} is finished; nothing was done."] if finished_before else []
    parts.append(f"Test set of {run.data}, {summary.test.rows} rows, scored after the choice:")
    head, rows = score_header(summary), [row.cells for row in score_table(summary)]
    parts.append(text([head, *rows] if len(head) > 2 else rows))
    by = f" by {shipped.select_by}" if shipped.select_by and not shipped.leads else ""
    parts.append(
        f"Student {shipped.student} ships: {'the leader' if shipped.leads else 'best'}{by} on "
        f"{summary.holdout.rows} held-out rows ({shipped.holdout:.2%}{' right' if by else ''}) "
        + ("at the last epoch." if shipped.select == "last" else "over all epochs.")
    )
    parts += [said for said in (describe_noise(summary), _speed(run.texts), _half(run.precision)) if said]
    cost = cost_rows(summary)
    if cost:
        parts.append("\nCost of training:")
        parts.append(text([("", run.recipe, "baseline"), *cost]))
    lines = loading_lines(folder.weights, builder=dict(run.model))
    parts.append(f"\nThe plain network lies in {folder.weights}; load it with\n")
    parts.append("\n".join(f"  {line}" for line in lines.splitlines()))
    parts.append(f"\nIn short, on {summary.test.rows} test rows:")
    parts.append(text(headline_rows(summary)))
    verdict = baseline_verdict(summary)
    parts += [verdict.words] if verdict is not None else []
    parts += [OVER_SEEDS] if is_first_run(folder.read_config()) else []
    return "\n".join(parts)


def _half(precision: str | None) -> str:
    """Describe how a run computed in half precision, which may have been chosen for it; empty otherwise."""
    half = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}.get(precision or "")
    if half is None:
        return ""
    return f"Layers were trained in {half}, all else in single precision; --precision 32-true turns this off."


def _speed(texts: TextFigures | None) -> str:
    """Describe the training speed on texts; empty for pictures."""
    if texts is None:
        return ""
    return f"{texts.tokens_per_second:,.0f} tokens a second, beside {texts.padding:.1%} padding."


def model_card(summary: Summary, *, lines: str, file: str = WEIGHTS, ensemble: bool = False) -> str:
    """Render the model card of the shipped network as Markdown.

    Args:
        summary: the run's summary.
        lines: the three lines that load the network.
        file: name of the network's file, which `studygroup predict` needs unless it is the default one.
        ensemble: whether all students ship as one module.
    """
    run, test, shipped = summary.run, summary.test, summary.shipped
    baseline = summary.baseline
    beside = f"| plain baseline | {baseline.test:.2%} |\n" if baseline else ""
    many = len(run.classes) >= TOP5_FROM
    top5 = f"| this network, top-5 | {shipped.test_top5:.2%} |\n" if many else ""
    asked = "TEXT" if "vocabulary" in run.model else "IMAGE_FILE"
    asked += "" if file == WEIGHTS else f" --folder {file}"
    answers = f"`studygroup predict {asked}` answers from this folder alone.\n"
    answers = answers if file.endswith(".safetensors") else ""
    noise = f"\n{in_markdown(describe_noise(summary))}\n" if summary.noise else ""
    name, data, classes = map(in_markdown, (run.model["name"], run.data, ", ".join(run.classes)))
    recipe, rule = map(_in_code, (run.recipe, shipped.rule))
    reads = "\n".join(map(_with_code, run.input.splitlines()))
    estimated = "; batch-norm statistics taken anew before scoring" if shipped.reestimated_bn else ""
    several = f"One module of {run.students} networks, which answers with the mean of their probabilities,"
    what = several if ensemble else "One plain network,"
    chosen = f"all students after epoch {shipped.epoch} answer together"
    if not ensemble:
        chosen = f"""student {shipped.student} after epoch {shipped.epoch} was chosen on
{summary.holdout.rows} held-out rows
(`{rule}`, {shipped.holdout:.2%}{" right" if shipped.select_by else ""} there)"""
    return f"""# {name} on {data}

{what} trained with `{recipe}` by studygroup. It needs
nothing of the method at inference.

```python
{lines}
```

Input: {reads}
{answers}Output: logits of {len(run.classes)} classes: {classes}.

## How it was trained

{run.students} student(s), {run.epochs} epochs, {run.updates} updates, seed {run.seed},
on {run.train_rows} rows; {chosen}{estimated}. All settings: `config.yaml`.
{noise}
## Scores on {test.rows} test rows

| | accuracy |
|---|---|
| **this {"ensemble" if ensemble else "network"}** | **{shipped.test:.2%}** |
{top5}| mean over students ± std (n = {run.students}) | {test.mean:.2%} ± {test.std:.2%} |
| ensemble of all students | {test.ensemble:.2%} |
{beside}
The rows were scored once, after the choice. One run, one seed: differences of a few rows are noise.
"""


def _in_code(text: str) -> str:
    """Return a text for between backticks."""
    return printable(text, lines=False).replace("`", "'")


def _with_code(line: str) -> str:
    """Return a line as Markdown shows it, but for code between backticks."""
    parts = printable(line, lines=False).split("`")
    return "".join(f"`{part}`" if at % 2 and part else in_markdown(part) for at, part in enumerate(parts))
