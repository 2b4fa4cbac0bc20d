"""The closing text of a tuning in the terminal."""

import shlex
from collections import Counter
from itertools import count

from studygroup.training.tuning import outcome
from studygroup.training.tuning.work import Tuned

_SHOWN = 10


def tuning_words(tuned: Tuned) -> str:
    """Return the best trials, what their accuracy means, and the command that trains the best configuration.

    Args:
        tuned: the result of `tune`.
    """
    counts = Counter(row["state"] for row in tuned.trials)
    names = list(dict.fromkeys(name for row in tuned.trials for name in row["values"]))
    lines = outcome.table(tuned.trials, names).splitlines()
    parts = [
        f"{len(tuned.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in counts.items()) + "\n"
    ]
    parts += lines[: _SHOWN + 2]
    parts += [f"... and {len(lines) - _SHOWN - 2} more, in {tuned.folder / 'trials.md'}"] * (
        len(lines) > _SHOWN + 2
    )
    if tuned.unfinished:
        parts.append(
            f"\nIn the hands of other processes: {tuned.unfinished}. Should one have died, the same command finishes "
            "its trial: at once where\nit ran in this folder on this machine, else ten minutes after its last sign of"
            " life."
        )
    return "\n".join([*parts, *_best(tuned, finished=counts["finished"])])


def _best(tuned: Tuned, *, finished: int) -> list[str]:
    best = tuned.best
    if best is None:
        return ["\nNo trial is finished yet."]
    config = tuned.folder / "best.yaml"
    seeds = f"seed{'s' * (len(tuned.seeds) > 1)} {', '.join(map(str, tuned.seeds))}"
    other = next(number for number in count() if number not in tuned.seeds)
    options = ["--config", config, "--seed", other, "--run_dir", tuned.folder / f"best-{other}"]
    return [
        f"\nBest: trial {best['trial']}, {best['holdout']:.2%} of the hold-out rows right ({seeds}). It is the "
        f"highest of {finished} and was chosen for",
        "that, so it flatters. No test row has been scored. Train the best configuration anew, with seeds that the",
        f"search has not seen; that scores the test rows, once:\n\n  {_command('train', *options)}",
        f"\nSettings: {config}. All trials: {tuned.folder / 'trials.md'} and trials.json.",
    ]


def _command(*words: object) -> str:
    return shlex.join(["studygroup", *map(str, words)])
