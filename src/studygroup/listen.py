"""Who listens to whom: an imitation rule is a matrix with student i's weights over his peers in row i."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from studygroup.group import Outputs
from studygroup.rows import to_device
from studygroup.seeding import generator


class Listener(nn.Module):
    """The base of all imitation rules.

    A rule says before any forward pass who is consulted (`consults`), and after it with what weight
    (`weights`). Draws depend on the seed and the step alone, so they are equal on all ranks and can be
    replayed. `CollaborativeLearning` calls `join` once.

    Attributes:
        want: what the rule needs of the outputs besides logits, see `StudyGroup.forward`.
        learns: whether the weights have a gradient.
    """

    want: tuple[str, ...] = ()
    learns = False

    def __init__(self) -> None:
        super().__init__()
        self.students = 0
        self.seed = 0

    def join(self, *, students: int, seed: int) -> None:
        """Learns how many students there are, and the seed of all draws.

        Raises:
            ValueError: the rule does not fit that number of students.
        """
        self.students = students
        self.seed = seed

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Who asks whom in this step; a CPU table."""
        raise NotImplementedError

    def weights(
        self, outputs: Outputs, consults: Bool[Tensor, "students students"]
    ) -> Float[Tensor, "students students"] | Float[Tensor, "rows students students"]:
        """The weight of every answer, on the device of the outputs.

        The base class gives all who are consulted the same weight, rows summing to 1; a row of zeros means
        that a student listens to nobody.
        """
        return share_equally(consults, outputs)


class MeanOfOthers(Listener):
    """Every student listens to the mean of all others (Song & Chai 2018, equation 2).

    Args:
        include_self: count the student's own answer too.
    """

    def __init__(self, *, include_self: bool = False) -> None:
        super().__init__()
        self.include_self = include_self

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """All others, in every step."""
        everybody = torch.ones(self.students, self.students, dtype=torch.bool)
        return everybody if self.include_self else everybody.fill_diagonal_(False)


class RandomSubgroup(Listener):
    """Every student listens to a random sub-group, drawn anew each step (CGL, equation 5).

    Args:
        probability: the imitating probability p, in (0, 1].
        selection: `"fixed"` draws n = min(max(round(pK), 1), K−1) others without replacement and divides by
            n: constant cost, the rule of the paper's appendix. `"bernoulli"` draws each other with
            probability p and divides by the *expected* number H = p(K−1), as printed, so that weights sum to
            n/H. At p = 1 both are the mean of all others.
        include_self: let a student be among those he listens to; then K takes the place of K−1.

    Raises:
        ValueError: a probability outside (0, 1] or an unknown `selection`.
    """

    def __init__(self, probability: float, *, selection: str = "fixed", include_self: bool = False) -> None:
        super().__init__()
        if not 0 < probability <= 1:
            raise ValueError(f"imitating probability {probability}; it must lie in (0, 1]")
        if selection not in ("fixed", "bernoulli"):
            raise ValueError(f"selection={selection!r}; use 'fixed' or 'bernoulli'")
        self.probability = probability
        self.selection = selection
        self.include_self = include_self

    @property
    def candidates(self) -> int:
        """How many students each one may listen to."""
        return self.students if self.include_self else self.students - 1

    @property
    def size(self) -> int:
        """How many students each one consults under `selection="fixed"`."""
        # reading: "expected number of imitated students" with the appendix's K·p = 2 of 8 at p = 0.25.
        return min(max(round(self.probability * self.students), 1), self.candidates)

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """A sub-group for each student, from (seed, step) alone."""
        draw = torch.rand(self.students, self.students, generator=generator(self.seed, "listen", step))
        if not self.include_self:
            draw.fill_diagonal_(2.0)  # later than, and unlikelier than, anybody else
        if self.selection == "bernoulli":
            return draw < self.probability
        first = draw.argsort(dim=1)[:, : self.size]
        return torch.zeros_like(draw, dtype=torch.bool).scatter_(1, first, True)

    def weights(
        self, outputs: Outputs, consults: Bool[Tensor, "students students"]
    ) -> Float[Tensor, "students students"]:
        """Equal weights, divided by n (`"fixed"`) or by the expected number (`"bernoulli"`)."""
        if self.selection == "fixed":
            return share_equally(consults, outputs)
        expected = self.probability * max(self.candidates, 1)
        return _beside(consults / expected, outputs)


def share_equally(
    consults: Bool[Tensor, "students students"], outputs: Outputs
) -> Float[Tensor, "students students"]:
    """The same weight for all who are consulted, on the device of the outputs."""
    return _beside(consults / consults.sum(1, keepdim=True).clamp(min=1), outputs)


def _beside(weights: Tensor, outputs: Outputs) -> Tensor:
    return to_device(weights.to(outputs.logits.dtype), outputs.logits.device)
