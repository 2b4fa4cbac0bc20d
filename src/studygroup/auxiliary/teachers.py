"""Moving averages of the students, from whom the others learn (PCL)."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup import bibliography
from studygroup.auxiliary.base import Auxiliary, Step
from studygroup.functional import masked_mean, pairwise_loss
from studygroup.group import StudyGroup
from studygroup.listen import MeanOfOthers
from studygroup.peers import Peers
from studygroup.precision import single
from studygroup.schedules import Schedule
from studygroup.selection import to_device


class MeanTeachers(Auxiliary):
    """Every student imitates the moving average of every other one (PCL's peer mean teachers, Wu & Gong 2021).

    Σ_k 1/(K−1) Σ_{j≠k} T² KL(ψ(z̄_j; T) ‖ ψ(z_k; T)), z̄_j the answer of student j's average θ̄ ← φ θ̄ + (1−φ) θ,
    φ = min(1 − 1/g, decay) at step g; mean over the rows that a student sees. The averages are constants. They
    answer in training mode, so that their batch-norm statistics are those of their own weights. They are what is
    scored and ships, see `CollaborativeLearning.shipped`.

    Averages move at the beginning of a step, so that those that ship lack the last update.

    Args:
        group: the students; their averages begin as a copy.
        decay: largest φ, in [0, 1].
        temperature: T.
        scale_by_t2: multiply by T².
        weight: of the sum, a number or a function of progress.

    Attributes:
        averages: the averages as a group of the same kind; no parameter of it asks for a gradient.

    Raises:
        ValueError: a decay outside [0, 1].
    """

    sources = (bibliography.PCL,)

    def __init__(
        self,
        group: StudyGroup | Peers,
        *,
        decay: float = 0.999,
        temperature: float = 3.0,
        scale_by_t2: bool = True,
        weight: float | Schedule = 1.0,
    ) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(
                f"decay {decay}; a moving average keeps a share of itself: use a number in [0, 1]"
            )
        super().__init__(name="mean_teachers", weight=weight)
        self.averages = copy.deepcopy(group).requires_grad_(False)
        self.decay, self.temperature, self.scale_by_t2 = decay, temperature, scale_by_t2
        self._listen = MeanOfOthers()
        self._listen.join(students=group.students, seed=0)
        self._steps = 0

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The sum over students, after the averages have taken in the students' weights."""
        if self.training:
            self._follow(step.group)
        with torch.no_grad():
            answers = self.averages(step.x)
        outputs = step.outputs
        weights = self._listen.weights(answers, self._listen.consults(0))
        with torch.autocast(outputs.logits.device.type, enabled=False):
            logits = single(outputs.logits)
            heard = answers.logits.to(logits)
            loss = pairwise_loss(logits, heard, weights, self.temperature, "kl", self.scale_by_t2)
            return masked_mean(loss, to_device(outputs.sees, loss.device)).sum()

    @torch.no_grad()
    def _follow(self, group: StudyGroup | Peers) -> None:
        """θ̄ ← φ θ̄ + (1−φ) θ."""
        self._steps += 1
        keep = min(1 - 1 / self._steps, self.decay)
        torch._foreach_lerp_(list(self.averages.parameters()), list(group.parameters()), 1 - keep)

    def get_extra_state(self) -> dict[str, Any]:
        """How many steps the averages have seen, for the state dict."""
        return {"steps": self._steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the count back."""
        self._steps = state["steps"]
