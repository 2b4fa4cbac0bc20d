"""Teachers that know the labels: one teacher, made of all students' answers (KDCL)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from studygroup import bibliography
from studygroup._engine.ranks import exchanging, over_ranks
from studygroup.checks import check_flag, check_number, check_share, check_whole
from studygroup.functional import best_mixture, error_products, least_error_weights
from studygroup.outputs import Outputs
from studygroup.teachers.base import Labels, OneTeacher, Weights


class BestStudent(OneTeacher):
    """On every row all listen to the student with the lowest cross-entropy (KDCL-Naive, Guo et al. 2020)."""

    knows_labels = True
    sources = (bibliography.KDCL,)

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return that student's logits, for every student."""
        y = _indices(y)
        rows = torch.arange(len(y), device=y.device)
        likely = answers.logits.log_softmax(-1)[:, rows, y]  # (students, rows)
        best = answers.logits[likely.argmax(0), rows]
        return best.expand_as(answers.logits)


class MinLogit(OneTeacher):
    """All listen to the minimum of the students' logits, class by class (KDCL-MinLogit, Guo et al. 2020).

    z^c = z − z_y puts the true class at 0 for every student; the teacher's logit of a class is min_k z^c_k: the
    lowest cross-entropy that any choice among the students' logits can have.
    """

    knows_labels = True
    sources = (bibliography.KDCL,)

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return the teacher's logits, for every student."""
        true = _indices(y).view(1, -1, 1).expand(len(answers.logits), -1, 1)
        relative = answers.logits - answers.logits.gather(-1, true)
        return relative.amin(0).expand_as(answers.logits)


class LinearTeacher(OneTeacher):
    """All listen to the mixture of the students' logits with the lowest cross-entropy (KDCL-Linear).

    z_t = Σ_k α_k z_k, α = argmin CE(y, Σ_k α_k z_k) on the simplex, see `functional.best_mixture`. α is a constant;
    where targets are not detached, gradients flow through z_k alone.

    Reading:
        The paper writes one α for the students' logits of an image, hence `per_row=True`.

    Args:
        per_row: whether every row has its own weights; `False` has one α for the batch.
        steps: number of steps of the solver.

    Raises:
        ValueError: no step.
    """

    knows_labels = True
    sources = (bibliography.KDCL,)

    def __init__(self, *, per_row: bool = True, steps: int = 20) -> None:
        super().__init__()
        self.per_row = check_flag("per_row", per_row)
        self.steps = check_whole("steps", steps, least=1)

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return the mixture, for every student."""
        alpha = best_mixture(answers.logits.detach(), _indices(y), per_row=self.per_row, steps=self.steps)
        return torch.einsum("nk,knc->nc", alpha, answers.logits).expand_as(answers.logits)


class GeneralTeacher(OneTeacher):
    """All listen to the students, weighed by how their errors correlate (KDCL-General).

    z_t = Σ_k w_k z_k, w_k = Σ_j C⁻¹_kj / Σ_ij C⁻¹_ij, C_ij the mean product of the errors of students i and j, see
    `functional.error_products`. The weights of a step come from the batches before it.

    Reading:
        The f are class probabilities at T = 1, and logits are mixed, as in the other teachers of the paper, so that
        a negative weight leaves a distribution.

    Departs:
        C is a moving average over training batches. The paper measures it after every epoch on validation rows taken
        out of the training set; here the held-out rows select the shipped student, and weights learnt on them would
        let them into training. To do as the paper does, set `on_training_rows=False` and call `measure` on your own
        rows in your own loop. A ridge is added to C's diagonal, where none is printed: students that err alike make
        C singular.

    Args:
        decay: share of the average that a batch leaves in place, in [0, 1).
        ridge: share of C's mean diagonal that is added to its diagonal, > 0.
        on_training_rows: whether training batches are measured.

    Attributes:
        products: C, kept in the state dict; zeros, which is equal weights, before the first measurement.

    Raises:
        ValueError: a decay outside [0, 1), or a ridge that is not positive and finite.
    """

    knows_labels = True
    sources = (bibliography.KDCL,)

    products: Tensor

    def __init__(self, *, decay: float = 0.99, ridge: float = 1e-3, on_training_rows: bool = True) -> None:
        super().__init__()
        self.decay = check_share("decay", decay, whole=False)  # at 1 nothing would be measured
        self.ridge = check_number("ridge", ridge, above=0)
        self.on_training_rows = check_flag("on_training_rows", on_training_rows)

    def join(self, *, students: int, seed: int) -> None:
        """Allocate C."""
        super().join(students=students, seed=seed)
        self.register_buffer("products", torch.zeros(students, students))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = self._buffers.get("products")
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before is not None and self.products.dtype in (torch.float16, torch.bfloat16):
            # in half precision a moving average stands still
            self.products = before.to(self.products.device)
        return self

    @torch.no_grad()
    def measure(self, logits: Float[Tensor, "students rows classes"], y: Int[Tensor, " rows"]) -> None:
        """Update C with answers to rows with known labels, under DistributedDataParallel on all processes.

        With answers that are no numbers it stays as it is.
        """
        found = error_products(logits, y).to(self.products)
        if exchanging():
            rows = len(y) * torch.ones(1, *found.shape[1:]).to(found)
            sums = over_ranks(torch.cat([found * len(y), rows]), "sum")
            found = sums[:-1] / sums[-1:]
        moved = self.products.lerp(found, 1 - self.decay)
        self.products.copy_(torch.where(found.isfinite().all(), moved, self.products))

    def weights(self, answers: Outputs, consults: Bool[Tensor, "students students"]) -> Weights:
        """Return the same weights in every row, from the measurements so far."""
        weights = least_error_weights(self.products, ridge=self.ridge)
        return weights.to(answers.logits).expand(self.students, -1)

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return the students' own logits; in training their errors are measured for the steps to come."""
        if self.training and self.on_training_rows:
            self.measure(answers.logits, _indices(y))
        return answers.logits

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """Return the weight of each student."""
        weights = least_error_weights(self.products, ridge=self.ridge)
        return {f"weight_{student}": weight for student, weight in enumerate(weights)}


def _indices(y: Labels) -> Int[Tensor, " rows"]:
    """Return class indices as int64.

    Raises:
        ValueError: labels that are no class indices.
    """
    if y.ndim != 1 or y.is_floating_point():
        raise ValueError(
            f"labels of shape {tuple(y.shape)}, {y.dtype}; teachers that know labels need one class index a row"
        )
    return y.long()
