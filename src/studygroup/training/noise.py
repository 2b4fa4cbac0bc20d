"""The label noise of a run, in numbers and in words."""

from collections.abc import Mapping
from typing import Any

import torch

from studygroup.data import Data, clean
from studygroup.training.settings import Settings


def noise_facts(settings: Settings, data: Data) -> dict[str, Any] | None:
    """Return the label noise of a run, and how many labels it makes wrong.

    Args:
        settings: the settings of the run.
        data: as opened by `settings.load_data`.

    Returns:
        `name` and `options` of the noise; `wrong_training_labels` in the first epoch, and whether they are `redrawn`
        in the next; `wrong_holdout_labels`. None without noise.
    """
    if settings.noise is clean:
        return None
    named = settings.config()["noise"]
    path, options = (named["class_path"], named["init_args"]) if isinstance(named, dict) else (named, {})
    first, second = data.training_labels(0), data.training_labels(1)
    return {
        "name": path.rpartition(".")[2],
        "options": options,
        "wrong_training_labels": int((first != data.train_truth.labels).sum()),
        "redrawn": not torch.equal(first, second),
        "wrong_holdout_labels": int((data.holdout.labels != data.holdout_truth.labels).sum()),
    }


def noise_words(summary: Mapping[str, Any]) -> str:
    """Describe the label noise of a run in a few sentences; empty without noise.

    Args:
        summary: the run's summary.
    """
    noise = summary.get("noise")
    if not noise:
        return ""
    options = ", ".join(f"{k}={v}" for k, v in noise["options"].items() if v is not None)
    when = " in the first epoch, and noisy ones are drawn anew in every epoch" if noise["redrawn"] else ""
    wrong, held = noise["wrong_holdout_labels"], summary["holdout"]["rows"]
    holdout = (
        f"{wrong} of {held} hold-out labels are wrong, the same in all epochs. Test"
        if wrong
        else "Hold-out and test"
    )
    return (
        f"Label noise: {noise['name']}({options}). {noise['wrong_training_labels']} of "
        f"{summary['run']['train_rows']} training labels are wrong{when}. {holdout} labels are the true ones."
    )
