"""Metadata of an exported network: the names of the classes, and how pixels become its input."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The meaning of a network's input and output.

    Attributes:
        classes: names, in the order of the logits.
        shape: channels, height and width of pictures; omitted for anything else.
        mean: of each channel, pixels counted as 0 to 1: it is subtracted, then the rest is divided by `std`.
        std: deviation of each channel, likewise.
        class_axis: axis of the classes in the logits, as of `CrossEntropy`: -1 for tokens.

    Raises:
        ValueError: fewer than two classes, two of one name, or a mean and deviation that are not one finite number
            for each channel, the deviation above 0.
    """

    classes: Sequence[str]
    shape: Sequence[int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    class_axis: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) or not all(isinstance(one, str) for one in self.classes):
            raise ValueError(f"classes is {self.classes!r:.80}; give a list of names")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"there are {len(self.classes)} names of classes, {len(set(self.classes))} of them different; give "
                "each of two classes or more a name of its own"
            )
        if self.shape is None and self.mean is None and self.std is None:
            return
        mean, std, shape = (tuple(one or ()) for one in (self.mean, self.std, self.shape))
        fits = len(shape) == 3 and len(mean) == len(std) == shape[0] and min(shape) > 0
        if not fits or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError(
                f"shape is {self.shape}, mean {self.mean} and std {self.std}; pictures have channels, height and "
                "width, and one mean and one deviation above 0 for each channel"
            )

    @property
    def task(self) -> str:
        """The hub's name of what the network does."""
        return "text-classification" if self.shape is None else "image-classification"

    def as_json(self) -> dict[str, str]:
        """Return those that are known as JSON, by name."""
        known = ("classes", "shape", "mean", "std")
        return {
            name: json.dumps(list(getattr(self, name))) for name in known if getattr(self, name) is not None
        }
