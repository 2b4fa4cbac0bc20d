"""Teachers that learn: a gate over branches (ONE), attention among peers (OKDDip), a joint classifier (PCL)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from studygroup import bibliography
from studygroup._engine.capture import Capture
from studygroup._engine.selection import to_device
from studygroup.checks import check_flag, check_whole
from studygroup.functional.precision import as_weights, single
from studygroup.outputs import Outputs
from studygroup.teachers.base import Labels, OneTeacher, Teacher, Weights, check_one_answer, share_equally

Pool = Callable[[Tensor], Tensor]


def pooled(hidden: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows width"]:
    """Return one vector per row: the mean over all axes but the features.

    Args:
        hidden: (rows, width) is left as it is; tokens (rows, tokens, width) are averaged over tokens, padding
            included; maps (rows, width, height, ...) over space. Networks with another order of axes, such as
            one-dimensional convolutions, need a function of their own.
    """
    if hidden.ndim == 2:
        return hidden
    return hidden.mean(1) if hidden.ndim == 3 else hidden.flatten(2).mean(2)


class Gate(OneTeacher):
    """All students listen to one ensemble, weighed for every sample by a gate (ONE, Lan et al. 2018).

    g = softmax(ReLU(BN(Linear(pool(h))))), h the representation that all branches share; z_e = Σ_k g_k z_k. The
    gate learns from the ensemble's cross-entropy (`objectives.Ensemble`), and through the targets of an imitation
    with `moves_teachers`.

    Args:
        width: features of the pooled trunk.
        students: number of branches.
        pool: maps the trunk to (rows, width).
    """

    sources = (bibliography.ONE,)
    capture = Capture(trunk=True)

    def __init__(self, width: int, *, students: int, pool: Pool = pooled) -> None:
        super().__init__()
        self.pool = pool
        # departs: no bias; the norm takes any constant away, so that it would never get a gradient.
        students = check_whole("students", students, least=1)
        self.linear = nn.Linear(check_whole("width", width, least=1), students, bias=False)
        self.norm = nn.BatchNorm1d(students)

    def join(self, *, students: int, seed: int) -> None:
        """Check that the gate has one output for each student."""
        super().join(students=students, seed=seed)
        if students != self.linear.out_features:
            raise ValueError(
                f"a gate over {self.linear.out_features} branches cannot serve {students} students; build it "
                f"with students={students}"
            )

    def weights(self, answers: Outputs, consults: Bool[Tensor, "students students"]) -> Weights:
        """Return the gate's weights for each sample, the same in every row."""
        hidden = self.pool(_present(answers.trunk, "trunk"))
        opened = self.norm(self.linear(as_weights(hidden, self.linear)))
        gate = F.softmax(F.relu(single(opened)), dim=-1)
        return gate[:, None].expand(-1, self.students, -1)


class PeerAttention(Teacher):
    """Every peer weighs the peers by attention; a leader outside it listens to their mean (OKDDip, Chen et al. 2020).

    A_ab = softmax_b(L(h_a) · E(h_b)), L and E linear maps without bias, h the pooled features of a
    peer. There is no 1/√d, and a peer attends to itself too. No student consults the leader.

    The attention's only gradient comes through the targets, so the imitation needs `moves_teachers=True`.

    Reading:
        `reduction` is not printed; it is 8 in the authors' code.

    Args:
        width: features of a student, the input of its classifier.
        leader: number of the leading student.
        reduction: width over the size of queries and keys.
        include_self: whether a peer attends to itself, as printed.
        pool: maps a student's features to (rows, width).

    Attributes:
        entropy: mean entropy of a peer's weights on the last batch, in [0, ln(peers)], for logging: near the
            upper end the peers have become alike, or the attention has not learnt. `None` before the first batch.
    """

    sources = (bibliography.OKDDIP,)
    capture = Capture(features=True)

    def __init__(
        self,
        width: int,
        *,
        leader: int,
        reduction: int = 8,
        include_self: bool = True,
        pool: Pool = pooled,
    ) -> None:
        super().__init__()
        width = check_whole("width", width, least=1)
        size = max(width // check_whole("reduction", reduction, least=1), 1)
        self.query = nn.Linear(width, size, bias=False)
        self.key = nn.Linear(width, size, bias=False)
        self.leader = check_whole("leader", leader, least=0)
        self.include_self = check_flag("include_self", include_self)
        self.pool = pool
        self.entropy: Tensor | None = None

    def join(self, *, students: int, seed: int) -> None:
        """Check that the leader is a student and has peers to listen to."""
        super().join(students=students, seed=seed)
        if not 0 <= self.leader < students or students < 3:
            raise ValueError(
                f"leader {self.leader} of {students} students; attention needs two peers at least beside a "
                f"leader who is one of students 0 to {students - 1}"
            )

    def consults(self, step: int) -> Bool[Tensor, "students students"]:
        """Consult the peers; nobody consults the leader.

        A peer is asked on its own rows in any case: its features say whom it attends to.
        """
        table = torch.ones(self.students, self.students, dtype=torch.bool)
        table[:, self.leader] = False
        return table

    def weights(self, answers: Outputs, consults: Bool[Tensor, "students students"]) -> Weights:
        """Return attention weights in the rows of the peers, equal weights in the leader's."""
        students, rows = answers.sees.shape
        features = _present(answers.features, "features").flatten(0, 1)
        hidden = self.pool(features).view(students, rows, -1)
        hidden = as_weights(hidden, self.query)
        energy = torch.einsum("and,bnd->nab", single(self.query(hidden)), single(self.key(hidden)))
        itself = torch.eye(students, dtype=torch.bool, device=consults.device)
        heard = consults if self.include_self else consults & ~itself
        attention = F.softmax(energy.masked_fill(~to_device(heard, energy.device), -torch.inf), dim=-1)
        rows_of = attention.detach()
        # slices, not a list of numbers: these would be sent to the device, which would be waited for
        peers = torch.cat([rows_of[:, : self.leader], rows_of[:, self.leader + 1 :]], dim=1)
        self.entropy = _entropy(peers)
        leads = torch.arange(students, device=energy.device) == self.leader
        return torch.where(leads[:, None], share_equally(consults, answers), attention)

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """Return the entropy of the attention."""
        return {} if self.entropy is None else {"entropy": self.entropy}


class PeerEnsemble(OneTeacher):
    """All students listen to one classifier over all their features together (PCL, Wu & Gong 2021).

    z_e = W [h_1, ..., h_K] + b, h_k the pooled features of student k. The classifier learns from the ensemble's
    cross-entropy (`objectives.Ensemble`), and through the targets of an imitation with `moves_teachers`.

    Args:
        width: features of a student, the input of its classifier.
        students: K.
        classes: number of classes.
        pool: maps a student's features to (rows, width).
    """

    sources = (bibliography.PCL,)
    capture = Capture(features=True)

    def __init__(self, width: int, *, students: int, classes: int, pool: Pool = pooled) -> None:
        super().__init__()
        self.pool = pool
        wide = check_whole("width", width, least=1) * check_whole("students", students, least=1)
        self.linear = nn.Linear(wide, check_whole("classes", classes, least=1))

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return the ensemble's logits, for every student.

        Raises:
            ValueError: the students answer at several places of a row.
        """
        check_one_answer("PeerEnsemble", answers)
        features = _present(answers.features, "features")
        hidden = self.pool(features.flatten(0, 1)).view(*features.shape[:2], -1)
        together = as_weights(hidden.transpose(0, 1).flatten(1), self.linear)
        logits = single(self.linear(together))
        return logits.expand_as(answers.logits)


def _entropy(weights: Float[Tensor, "rows listeners students"]) -> Float[Tensor, ""]:
    return -torch.xlogy(weights, weights).sum(-1).mean()


def _present(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"the outputs hold no {name}; call the group with capture=Capture({name}=True)")
    return value
