"""The one place where losses are added, and where it is checked what fits together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from studygroup.functional import Aggregate, Divergence, imitation_loss, masked_mean, peer_targets
from studygroup.group import Inputs, Outputs, StudyGroup, count_rows, on_host
from studygroup.listen import Listener
from studygroup.rows import to_device
from studygroup.schedules import Schedule, constant
from studygroup.seeding import derive
from studygroup.trace import traceless


@dataclass(frozen=True)
class SharedRows:
    """What a method asks of the data: all students see every row, one batch for all."""


@dataclass(frozen=True)
class Subsets:
    """What a method asks of the data: every student has a sub-set of his own, drawn once (CGL).

    Attributes:
        overlap: 0 for disjoint sub-sets that cover the training set, 1 for the whole set for everybody.
    """

    overlap: float = 0.0


@dataclass(frozen=True)
class Losses:
    """What a step costs.

    Attributes:
        total: weighted sum over students and parts; call `backward` on it.
        supervised: cross-entropy of each student, unweighted.
        imitation: imitation loss of each student, unweighted.
        auxiliary: further parts by name, unweighted.
        logits: answers in the supervised pass, zero where a student did not see the row.
    """

    total: Float[Tensor, ""]
    supervised: Float[Tensor, " students"]
    imitation: Float[Tensor, " students"]
    auxiliary: Mapping[str, Float[Tensor, ""]]
    logits: Float[Tensor, "students rows classes"]


class CollaborativeLearning(nn.Module):
    """A group, who listens to whom, and how the losses are weighed: call it in any training loop.

    total = reduce_k [supervised_weight · CE_k + imitation_weight · D(q_k, ψ(z_k; T))], where q_k is student
    k's target (`functional.peer_targets`), D the divergence, each mean over the rows on which the student is
    supervised.

    Args:
        group: the students.
        listen: the imitation rule; omitted, nobody imitates.
        temperature: T of targets and imitation.
        supervised_weight: a number or a function of progress.
        imitation_weight: a number or a function of progress, such as `schedules.ramp_up(0.0, 0.2)`.
        divergence: `"kl"` or `"cross_entropy"`, see `functional.imitation_loss`.
        aggregate: `"logits"` or `"probabilities"`, see `functional.peer_targets`.
        detach: targets are constants. With `False` gradients flow into the peers (and into a rule that
            learns).
        scale_by_t2: multiply imitation by T².
        reduction: `"sum"` or `"mean"` over students.
        rows: what the method asks of the data, for whoever builds the loader.
        peers: how consulted peers answer where rows have owners: `"train"` by batch statistics, `"eval"` by
            running statistics.
        seed: seed of all draws of the rule and of the peers' dropout.

    Attributes:
        step: training steps done, kept in the state dict; draws depend on (seed, step).

    Raises:
        ValueError: an unknown `reduction` or `peers`, a rule that does not fit the group.

    Example:
        >>> task = sg.CollaborativeLearning(group, listen=sg.listen.RandomSubgroup(0.25), temperature=3.0)
        >>> losses = task(images, labels, owner=owner, progress=epoch / epochs)
        >>> losses.total.backward()
    """

    def __init__(
        self,
        group: StudyGroup,
        *,
        listen: Listener | None = None,
        temperature: float = 1.0,
        supervised_weight: float | Schedule = 1.0,
        imitation_weight: float | Schedule = 1.0,
        divergence: Divergence = "kl",
        aggregate: Aggregate = "logits",
        detach: bool = True,
        scale_by_t2: bool = False,
        reduction: Literal["sum", "mean"] = "sum",
        rows: SharedRows | Subsets | None = None,
        peers: Literal["train", "eval"] = "train",
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("reduction", reduction, ("sum", "mean")),
            ("peers", peers, ("train", "eval")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r}; use {known[0]!r} or {known[1]!r}")
        self.group = group
        self.listen = listen
        self.temperature = temperature
        self.supervised_weight = _schedule(supervised_weight)
        self.imitation_weight = _schedule(imitation_weight)
        self.divergence: Divergence = divergence
        self.aggregate: Aggregate = aggregate
        self.detach = detach
        self.scale_by_t2 = scale_by_t2
        self.reduction = reduction
        self.rows = rows or SharedRows()
        self.peers = peers
        self.seed = seed
        self.step = 0
        if listen is not None:
            listen.join(students=group.students, seed=seed)

    def forward(
        self,
        x: Inputs,
        y: Int[Tensor, " rows"],
        *,
        owner: Int[Tensor, " rows"] | Sequence[int] | None = None,
        progress: float = 1.0,
    ) -> Losses:
        """The losses of one step.

        Args:
            x: the batch, as the model takes it.
            y: class indices, on the device of the logits.
            owner: the student for whom each row is supervised: a sequence or a CPU tensor. The peers whom the
                owner consults answer on that row in a second pass, without gradient and without trace.
                Omitted, every student sees every row and one pass serves.
            progress: how far training has come, from 0 to 1; weights are functions of it.

        Raises:
            ValueError: owners who are not students, labels of another length, an owner together with a rule
                that learns.
        """
        count = count_rows(x)
        if len(y) != count:
            raise ValueError(f"{len(y)} labels for {count} rows; hand in one class index a row")
        consults = self.listen.consults(self.step) if self.listen is not None else None
        if owner is None:
            outputs = self.group(x, want=self.listen.want if self.listen is not None else ())
            answers = outputs
        else:
            owns = self._owns(owner, count)
            answers = self._ask(x, owns, consults)
            outputs = self.group(x, sees=owns)
            answers = answers or outputs
        losses = self._weigh(outputs, answers, y, consults, progress)
        self.step += self.training
        return losses

    def _owns(self, owner: Tensor | Sequence[int], count: int) -> Bool[Tensor, "students rows"]:
        students = self.group.students
        table = on_host(torch.as_tensor(owner), "owner")
        if table.shape != (count,) or table.is_floating_point():
            raise ValueError(
                f"owner is {table.dtype} of shape {tuple(table.shape)}; hand in one student number a row ({count})"
            )
        wrong = table[(table < 0) | (table >= students)]
        if len(wrong):
            raise ValueError(f"owner {int(wrong[0])} is not one of students 0 to {students - 1}")
        if self.listen is not None and self.listen.learns:
            raise ValueError(
                f"{type(self.listen).__name__} learns through its peers' answers, and with owners peers answer "
                "without gradient; leave owner out, so that every student sees every row"
            )
        return torch.arange(students)[:, None] == table

    def _ask(self, x: Inputs, owns: Tensor, consults: Tensor | None) -> Outputs | None:
        """The consulted peers' answers on each owner's rows; `None` where nobody is asked."""
        if consults is None:
            return None
        sees = (consults.T.to(torch.uint8) @ owns.to(torch.uint8)).bool()
        if not sees.any():
            return None
        want = self.listen.want if self.listen is not None else ()
        seed = derive(self.seed, "peers", self.step)
        with traceless(self.group.model, training=self.peers == "train" and self.training, seed=seed):
            outputs: Outputs = self.group(x, sees=sees, want=want)
        return outputs

    def _weigh(
        self, outputs: Outputs, answers: Outputs, y: Tensor, consults: Tensor | None, progress: float
    ) -> Losses:
        with torch.autocast(outputs.logits.device.type, enabled=False):
            return self._add(_precise(outputs), _precise(answers), y, consults, progress)

    def _add(
        self, outputs: Outputs, answers: Outputs, y: Tensor, consults: Tensor | None, progress: float
    ) -> Losses:
        logits = outputs.logits
        sees = to_device(outputs.sees, logits.device)
        entropy = F.cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)), reduction="none")
        supervised = masked_mean(entropy.view(logits.shape[:2]), sees)
        imitation = torch.zeros_like(supervised)
        if self.listen is not None and consults is not None:
            weights = self.listen.weights(answers, consults)
            targets = peer_targets(answers.logits, weights, self.temperature, self.aggregate)
            rowwise = imitation_loss(
                logits,
                targets.detach() if self.detach else targets,
                self.temperature,
                self.divergence,
                self.scale_by_t2,
            )
            imitation = masked_mean(rowwise, sees)
        each = self.supervised_weight(progress) * supervised + self.imitation_weight(progress) * imitation
        total = each.sum() if self.reduction == "sum" else each.mean()
        return Losses(total, supervised, imitation, {}, logits)

    def get_extra_state(self) -> dict[str, Any]:
        """The step counter, for the state dict."""
        return {"step": self.step}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the step counter back."""
        self.step = state["step"]


def _precise(outputs: Outputs) -> Outputs:
    """Losses are added in single precision at least: under autocast logits come in half."""
    half = outputs.logits.dtype in (torch.float16, torch.bfloat16)
    return replace(outputs, logits=outputs.logits.float()) if half else outputs


def _schedule(weight: float | Callable[[float], float]) -> Schedule:
    return weight if callable(weight) else constant(float(weight))
