"""Teachers without parameters: all others, the student itself, a random sub-group."""

import torch
from jaxtyping import Bool
from torch import Tensor

from studygroup import bibliography
from studygroup.checks import check_choice, check_flag, check_share
from studygroup.group import Group
from studygroup.outputs import Outputs
from studygroup.seeding import generator
from studygroup.teachers.base import Teacher, Weights, share_equally, weights_like


class MeanOfOthers(Teacher):
    """Every student listens to all others equally (Song & Chai 2018, equation 2).

    What is averaged (logits, probabilities or divergences, as in DML) is set by `objectives.Imitation`.

    Args:
        include_self: count the student's own answer too.
        of: who answers, see `Teacher`.
    """

    sources = (bibliography.SONG_CHAI,)

    def __init__(self, *, include_self: bool = False, of: Group | None = None) -> None:
        super().__init__(of=of)
        self.include_self = check_flag("include_self", include_self)

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Consult all others, in every step."""
        everybody = torch.ones(self.students, self.students, dtype=torch.bool)
        return everybody if self.include_self else everybody.fill_diagonal_(False)


class Self(Teacher):
    """Every student listens to its own counterpart: its moving average, where `of` is one.

    Args:
        of: who answers, with as many students as the group.
    """

    def __init__(self, *, of: Group) -> None:
        super().__init__(of=of)

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Consult the counterpart alone."""
        return torch.eye(self.students, dtype=torch.bool)


class RandomSubgroup(Teacher):
    """Every student listens to a random sub-group, drawn anew each step (CGL, equation 5).

    Args:
        probability: the imitating probability p, in [0, 1].
        selection: `"fixed"` draws n = min(max(round(pK), 1), K−1) others without replacement and divides by
            n: constant cost, the rule of the paper's appendix. `"bernoulli"` draws each other with
            probability p and divides by the *expected* number H = p(K−1), as printed, so that weights sum to
            n/H. At p = 1 both are the mean of all others; at p = 0 neither consults anyone, and imitation is 0.
        include_self: let a student be among those it listens to; then K takes the place of K−1.
        of: who answers, see `Teacher`.

    Raises:
        ValueError: a probability outside [0, 1] or an unknown `selection`.
    """

    sources = (bibliography.CGL,)

    def __init__(
        self,
        probability: float,
        *,
        selection: str = "fixed",
        include_self: bool = False,
        of: Group | None = None,
    ) -> None:
        super().__init__(of=of)
        self.probability = check_share("probability", probability)
        self.selection = check_choice("selection", selection, ("fixed", "bernoulli"))
        self.include_self = check_flag("include_self", include_self)

    @property
    def candidates(self) -> int:
        """Number of students that each one may listen to."""
        return self.students if self.include_self else self.students - 1

    @property
    def size(self) -> int:
        """Number of students that each one consults under `selection="fixed"`."""
        # reading: "expected number of imitated students" with the appendix's K·p = 2 of 8 at p = 0.25.
        return (
            min(max(round(self.probability * self.students), 1), self.candidates) if self.probability else 0
        )

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Draw a sub-group for each student, from (seed, step) alone."""
        draw = torch.rand(self.students, self.students, generator=generator(self.seed, "listen", step))
        if not self.include_self:
            draw.fill_diagonal_(2.0)  # after, and less likely than, any other
        if self.selection == "bernoulli":
            return draw < self.probability
        first = draw.argsort(dim=1)[:, : self.size]
        return torch.zeros_like(draw, dtype=torch.bool).scatter_(1, first, True)

    def weights(self, answers: Outputs, consults: Bool[Tensor, "students students"]) -> Weights:
        """Return equal weights, divided by n (`"fixed"`) or by the expected number (`"bernoulli"`)."""
        if self.selection == "fixed":
            return share_equally(consults, answers)
        expected = self.probability * max(self.candidates, 1) or 1.0  # with no candidates all weights are 0
        return weights_like(consults.double() / expected, answers)
