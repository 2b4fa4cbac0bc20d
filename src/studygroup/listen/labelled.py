"""Rules that know the labels: one teacher made of all students' answers (KDCL)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from studygroup import bibliography
from studygroup.functional import best_mixture, error_products, least_error_weights
from studygroup.group import Outputs
from studygroup.listen.base import Listener


class _OneTeacher(Listener):
    """All students imitate one teacher, made of what everybody says."""

    one_answer = True
    sources = (bibliography.KDCL,)


class BestStudent(_OneTeacher):
    """On every row all listen to the student whose cross-entropy is the least (KDCL-Naive, Guo et al. 2020)."""

    def answers(self, outputs: Outputs, y: Int[Tensor, " rows"]) -> Float[Tensor, "students rows classes"]:
        """That student's logits, for every student."""
        rows = torch.arange(len(y), device=y.device)
        likely = outputs.logits.log_softmax(-1)[:, rows, y]  # (students, rows)
        best = outputs.logits[likely.argmax(0), rows]
        return best.expand_as(outputs.logits)


class MinLogit(_OneTeacher):
    """All listen to the least of the students' logits, class by class (KDCL-MinLogit, Guo et al. 2020).

    z^c = z − z_y puts the true class at 0 for every student; the teacher's logit of a class is min_k z^c_k: the
    lowest cross-entropy that any choice among the students' logits can have.
    """

    def answers(self, outputs: Outputs, y: Int[Tensor, " rows"]) -> Float[Tensor, "students rows classes"]:
        """The teacher's logits, for every student."""
        true = y.view(1, -1, 1).expand(len(outputs.logits), -1, 1)
        relative = outputs.logits - outputs.logits.gather(-1, true)
        return relative.amin(0).expand_as(outputs.logits)


class LinearTeacher(_OneTeacher):
    """All listen to the mixture of the students' logits that has the least cross-entropy (KDCL-Linear).

    z_t = Σ_k α_k z_k, α = argmin CE(y, Σ_k α_k z_k) on the simplex, see `functional.best_mixture`. α is a constant;
    where targets are not detached, gradients flow through z_k alone.

    Args:
        per_row: weights for every row. # reading: the paper writes one α for the students' logits of an image;
            `False` has one for the batch.
        steps: of the solver, a fixed number.
    """

    def __init__(self, *, per_row: bool = True, steps: int = 20) -> None:
        super().__init__()
        self.per_row = per_row
        self.steps = steps

    def answers(self, outputs: Outputs, y: Int[Tensor, " rows"]) -> Float[Tensor, "students rows classes"]:
        """The mixture, for every student."""
        alpha = best_mixture(outputs.logits.detach(), y, per_row=self.per_row, steps=self.steps)
        return torch.einsum("nk,knc->nc", alpha, outputs.logits).expand_as(outputs.logits)


class GeneralTeacher(_OneTeacher):
    """All listen to the students weighed by how, and with whom, they err (KDCL-General).

    z_t = Σ_k w_k z_k, w_k = Σ_j C⁻¹_kj / Σ_ij C⁻¹_ij, C_ij the mean product of the errors of students i and j, see
    `functional.error_products`. The weights of a step come from the batches before it.

    # departs: C is a moving average over training batches. The paper measures it after every epoch on validation
    rows taken out of the training set; here the rows held out are those by which the shipped student is chosen, and
    weights learnt on them would let them into training. `measure` and `on_training_rows=False` do as the paper, on
    rows of your own, in a loop of your own.
    # reading: f are class probabilities at T = 1, and logits are mixed, as in the other teachers of the paper, so
    that a negative weight leaves a distribution.

    Args:
        decay: share of the average that a batch leaves in place, in [0, 1).
        ridge: share of C's mean diagonal that is added to its diagonal. # departs: none is printed; students who
            err alike make C singular.
        on_training_rows: whether training batches are measured.

    Attributes:
        products: C, kept in the state dict; zeros, which is equal weights, before the first measurement.

    Raises:
        ValueError: a decay outside [0, 1), or a ridge that is not positive.
    """

    products: Tensor

    def __init__(self, *, decay: float = 0.99, ridge: float = 1e-3, on_training_rows: bool = True) -> None:
        super().__init__()
        if not 0 <= decay < 1 or not ridge > 0:
            raise ValueError(
                f"decay {decay} and ridge {ridge}; use 0 <= decay < 1, so that something is measured, and ridge > 0"
            )
        self.decay, self.ridge, self.on_training_rows = decay, ridge, on_training_rows

    def join(self, *, students: int, seed: int) -> None:
        """Makes room for C."""
        super().join(students=students, seed=seed)
        self.register_buffer("products", torch.zeros(students, students))

    @torch.no_grad()
    def measure(self, logits: Float[Tensor, "students rows classes"], y: Int[Tensor, " rows"]) -> None:
        """Lets answers to rows with known labels into C."""
        self.products.lerp_(error_products(logits, y).to(self.products), 1 - self.decay)

    def weights(
        self, outputs: Outputs, consults: Bool[Tensor, "students students"]
    ) -> Float[Tensor, "students students"]:
        """The same weights in every row, from what was measured so far."""
        weights = least_error_weights(self.products, ridge=self.ridge)
        return weights.to(outputs.logits).expand(self.students, -1)

    def answers(self, outputs: Outputs, y: Int[Tensor, " rows"]) -> Float[Tensor, "students rows classes"]:
        """The students' own logits; in training their errors are measured for the steps to come."""
        if self.training and self.on_training_rows:
            self.measure(outputs.logits, y)
        return outputs.logits

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """The weight of each student."""
        weights = least_error_weights(self.products, ridge=self.ridge)
        return {f"weight_{student}": weight for student, weight in enumerate(weights)}
