"""Rules that know the labels: one teacher made of all students' answers (KDCL)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from studygroup import bibliography
from studygroup.group import Outputs
from studygroup.listen.base import Listener


class _OneTeacher(Listener):
    """All students imitate one teacher, made of what everybody says."""

    one_answer = True
    sources = (bibliography.KDCL,)

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Everybody asks everybody, himself included."""
        return torch.ones(self.students, self.students, dtype=torch.bool)


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
