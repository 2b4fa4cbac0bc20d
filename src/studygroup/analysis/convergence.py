"""The speed of convergence: how soon the hold-out accuracy is near its final level (CGL, appendix)."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studygroup.analysis.base import Analysis, Found, Run

SHARE = 0.99
"""Share of the final level that has to be reached: the paper does not print how it measures speed."""


def epochs_to(curve: Sequence[float], *, share: float = SHARE) -> int:
    """Return the first epoch, from 1, whose accuracy reaches a share of the final level.

    Args:
        curve: one accuracy per epoch, at least one.
        share: share of the final level, in (0, 1].
    """
    wanted = min(share * final_level(curve), max(curve))  # a mean of equal numbers may be rounded above them
    return next(epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= wanted)


def final_level(curve: Sequence[float]) -> float:
    """Return the mean over the last fifth of the epochs, one at least, as a single epoch's accuracy fluctuates."""
    return statistics.fmean(curve[-max(len(curve) // 5, 1) :])


def late_change(curve: Sequence[float]) -> float | None:
    """Return by how many points the accuracy changed over the last fifth of the epochs.

    The curve holds shares. The last tenth of the epochs is compared with the tenth that ended where the last fifth
    begins.

    Returns:
        None where there are fewer than five epochs.
    """
    if len(curve) < 5:
        return None
    tenth, begin = max(len(curve) // 10, 1), len(curve) - len(curve) // 5
    return 100 * (statistics.fmean(curve[-tenth:]) - statistics.fmean(curve[begin - tenth : begin]))


def way(metrics: Path, *, device: str | None) -> dict[str, list[float]]:
    """Return the course of a run, one value per epoch, from its `metrics.csv` and the type of its device, if known.

    Returns:
        `updates` so far; `holdout`, the students' mean accuracy as a share; and, where it is known, the seconds
        `spent` so far: processor time, or wall-clock time on a GPU.
    """
    from studygroup.training.history import read_history  # which needs the extra `train`

    rows = read_history(metrics)
    times = [row.cpu_seconds if device == "cpu" else row.seconds for row in rows]
    found: dict[str, list[float]] = {
        "updates": [row.updates for row in rows],
        "holdout": [round(row.holdout_mean, 4) for row in rows],
    }
    known = [seconds for seconds in times if seconds is not None]
    if device is None or len(known) < len(rows):
        return found
    return found | {"spent": [round(total, 1) for total in itertools.accumulate(known)]}


@dataclass(frozen=True, kw_only=True)
class Convergence(Analysis):
    """How soon the students' mean hold-out accuracy came near its final level, and whether it was still changing.

    Attributes:
        share: share of the final level to reach, in (0, 1]. The final level is the mean of the last fifth of the
            epochs.
    """

    share: float = SHARE

    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Read the figures of a run's epochs; no network is loaded.

        Args:
            run: the folder of a finished run.
            device: ignored.

        Raises:
            ValueError: the folder holds no finished run, its epochs have no figures, or a share is out of range.
        """
        from studygroup.training.folder import RunFolder

        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; give one above 0 and up to 1")
        folder = RunFolder(run.path)
        found = way(folder.metrics, device=folder.read_summary().run.device)
        if not found["holdout"]:
            raise ValueError(
                f"{folder.metrics} has no epochs; it is written beside the checkpoints in training"
            )
        epoch = epochs_to(found["holdout"], share=self.share)
        return {
            "epochs": len(found["holdout"]),
            "final": final_level(found["holdout"]),
            "reached": {name: values[epoch - 1] for name, values in found.items()} | {"epoch": epoch},
            "end": {name: values[-1] for name, values in found.items()} | {"epoch": len(found["holdout"])},
            "late_change": late_change(found["holdout"]),
        }

    def asked(self, found: Found) -> str:
        """Return the number of epochs."""
        return f"{found['epochs']} epochs"

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return where the share was reached, and the end; then the change at the end."""
        change = found["late_change"]
        said = "not known of fewer than five epochs" if change is None else f"{change:+.2f} points"
        return [
            ("", "epoch", "updates", "seconds", "hold-out accuracy"),
            _row(f"{self.share:.0%} of the final {found['final']:.2%}", found["reached"]),
            _row("end", found["end"]),
            ("change over the last fifth", said, "", "", ""),
        ]


def _row(name: str, at: Found) -> tuple[str, ...]:
    seconds = f"{at['spent']:,.0f}" if "spent" in at else "-"
    return (name, f"{at['epoch']:.0f}", f"{at['updates']:,.0f}", seconds, f"{at['holdout']:.2%}")
