"""The one place where losses are added, and where it is checked what fits together."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from studygroup.auxiliary import Auxiliary, Local, MeanTeachers, Step
from studygroup.auxiliary.local import add_up, of_weights
from studygroup.checks import (
    NoOwnerWarning,
    check_labels,
    check_names,
    check_owners,
    check_peers,
    check_rule,
    check_turns,
    owners,
)
from studygroup.functional import (
    Aggregate,
    Divergence,
    imitation_loss,
    label_loss,
    masked_mean,
    mixed_answers,
    pairwise_loss,
    peer_targets,
)
from studygroup.group import Outputs, StudyGroup
from studygroup.inputs import Inputs, count_rows
from studygroup.listen import Listener
from studygroup.losses import Losses, SharedRows, Subsets, only, precise
from studygroup.peers import Peers
from studygroup.schedules import Schedule, constant
from studygroup.seeding import derive
from studygroup.selection import to_device
from studygroup.trace import traceless
from studygroup.turns import alone

__all__ = ["CollaborativeLearning", "Losses", "SharedRows", "Subsets"]


class CollaborativeLearning(nn.Module):
    """A group, who listens to whom, and how the losses are weighed: call it in any training loop.

    total = reduce_k [supervised_weight · CE_k + imitation_weight · D(q_k, ψ(z_k; T))]
    + ensemble_weight · CE(y, ψ(z_e; 1)) + Σ_a weight_a · auxiliary_a,
    where q_k is student k's target (`functional.peer_targets`), D the divergence, each mean over the rows on
    which the student is supervised, and z_e the ensemble's answer, where the rule makes one.

    Args:
        group: the students.
        listen: the imitation rule; omitted, nobody imitates.
        temperature: T of targets and imitation.
        supervised_weight: a number or a function of progress.
        imitation_weight: a number or a function of progress, such as `schedules.ramp_up(0.0, 0.2)`.
        divergence: `"kl"` or `"cross_entropy"`, see `functional.imitation_loss`.
        aggregate: `"logits"` or `"probabilities"`, see `functional.peer_targets`.
        detach: targets are constants. With `False` gradients flow into the peers (and into a rule that
            learns). The ensemble's cross-entropy is not concerned.
        scale_by_t2: multiply imitation by T².
        reduction: `"sum"` or `"mean"` over students; the parts beside the students are added as they are.
        ensemble_weight: weight of the ensemble's cross-entropy (ONE), a number or a function of progress;
            its value is `Losses.auxiliary["ensemble"]`.
        auxiliary: further objectives, see `studygroup.auxiliary`.
        rows: what the method asks of the data, for whoever builds the loader.
        peers: how consulted peers answer where rows have owners: `"train"` in a pass of their own by batch
            statistics, `"eval"` in one by running statistics, neither with a trace; `"joint"` in the pass of the
            owners, where both share prefixes, batch statistics and dropout, and running statistics collect the rows
            of both. Where there are further objectives (`auxiliary`), `"joint"` is as `"train"`: they look into
            the network, and are to see the owners' rows alone.
        peers_gradient: whether those answers have a gradient, so that what `detach` leaves open, and a rule that
            learns, works with owners too.
        in_turn: update one student after another on every batch, each on what the others then say; go through
            `steps`. Otherwise all are updated together.
        seed: seed of all draws of the rule and of the peers' dropout.

    Attributes:
        step: training steps done, kept in the state dict; draws depend on (seed, step).

    Raises:
        ValueError: an unknown `reduction` or `peers`, a rule that does not fit the group, a rule that learns
            through nothing, an ensemble that the rule does not make, two auxiliary objectives of one name, peers
            whose gradient leads nowhere, turns with sub-sets or with a rule that learns.

    Example:
        >>> task = sg.CollaborativeLearning(group, listen=sg.listen.RandomSubgroup(0.25), temperature=3.0)
        >>> losses = task(images, labels, owner=owner, progress=epoch / epochs)
        >>> losses.total.backward()
    """

    def __init__(
        self,
        group: StudyGroup | Peers,
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
        ensemble_weight: float | Schedule = 0.0,
        auxiliary: Sequence[Auxiliary] = (),
        rows: SharedRows | Subsets | None = None,
        peers: Literal["train", "eval", "joint"] = "train",
        peers_gradient: bool = False,
        in_turn: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("reduction", reduction, ("sum", "mean")),
            ("peers", peers, ("train", "eval", "joint")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r}; use {' or '.join(map(repr, known))}")
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
        self.ensemble_weight = _schedule(ensemble_weight)
        self._ensemble = callable(ensemble_weight) or ensemble_weight != 0
        self.auxiliary = nn.ModuleList(auxiliary)
        self.rows = rows or SharedRows()
        self.peers = peers
        self.peers_gradient = peers_gradient
        self.in_turn = in_turn
        self.seed = seed
        self.step = 0
        check_names([part.name for part in auxiliary], ensemble=self._ensemble)
        if listen is not None:
            listen.join(students=group.students, seed=seed)
        check_rule(listen, detach=detach, ensemble=self._ensemble, aggregate=aggregate)
        check_peers(gradient=peers_gradient, detach=detach, ensemble=self._ensemble)
        if in_turn:
            check_turns(listen, ensemble=self._ensemble, shared=isinstance(self.rows, SharedRows))

    @property
    def turns(self) -> int:
        """Updates on a batch: one for each student, or one for all."""
        return self.group.students if self.in_turn else 1

    def steps(
        self,
        x: Inputs,
        y: Int[Tensor, " rows"],
        *,
        owner: Int[Tensor, " rows"] | Sequence[int] | None = None,
        progress: float = 1.0,
    ) -> Iterator[Losses]:
        """The losses of each update on a batch, one after another; update before you ask for the next.

        With `in_turn` a student's loss knows his own parameters alone: the others have no gradient from it, so that
        momentum and weight decay leave them where they are. Otherwise there is one update, that of `forward`.

        Args:
            x: as for `forward`, and so are the others.
            y: class indices.
            owner: not with `in_turn`.
            progress: how far training has come.

        Raises:
            ValueError: as `forward`, or owners of rows that all students take in turn.

        Example:
            >>> for losses in task.steps(images, labels):
            ...     optimizer.zero_grad()
            ...     losses.total.backward()
            ...     optimizer.step()
        """
        if not self.in_turn:
            yield self(x, y, owner=owner, progress=progress)
            return
        if owner is not None:
            raise ValueError(
                "rows have owners, and in_turn=True gives every row to every student; leave owner out"
            )
        for student in range(self.group.students):
            with alone(self.group, student):
                losses: Losses = self(x, y, owner=[student] * count_rows(x), progress=progress)
            yield losses

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
                owner consults answer on that row as `peers` says and, but for `peers_gradient`, without gradient.
                Omitted, every student sees every row and one pass serves.
            progress: how far training has come, from 0 to 1; weights are functions of it.

        Raises:
            ValueError: owners who are not students, labels of another length or type, progress outside [0, 1], on the
                CPU also a label that is no class (a device would have to be waited for, and has an assertion of its
                own), an owner together with a rule that learns and no `peers_gradient`, one loss for students who are
                trained in turn.
        """
        count = count_rows(x)
        if y.shape != (count,) or y.dtype not in (torch.int64, torch.uint8):
            raise ValueError(
                f"labels of shape {tuple(y.shape)}, {y.dtype}, for {count} rows; hand in one class index a row, of "
                "torch.int64"
            )
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is {progress}; hand in the share of training done, from 0 to 1")
        if self.in_turn and self.training and owner is None:
            raise ValueError("in_turn=True updates one student after another; go through task.steps(x, y)")
        if owner is None and self.training and isinstance(self.rows, Subsets):
            warnings.warn(
                "students were to have sub-sets of their own, and no owner says which rows are whose: all are "
                "supervised on all rows; hand in owner, or build the task with rows shared (subsets=False)",
                NoOwnerWarning,
                stacklevel=3,
            )
        consults = self.listen.consults(self.step) if self.listen is not None else None
        owns = None
        if owner is not None:
            check_owners(self.listen, ensemble=self._ensemble, gradient=self.peers_gradient)
            owns = owners(owner, rows=count, students=self.group.students)
        early = of_weights(self._parts(), self.group)
        outputs, answers = self._pass(x, owns, consults)
        check_labels(y, classes=outputs.logits.shape[-1])
        step = Step(self.group, outputs, x, y, progress)
        extra, auxiliary = add_up(self._parts(), step, early)
        with torch.autocast(outputs.logits.device.type, enabled=False):
            step = replace(step, outputs=precise(outputs))
            losses = self._add(step, precise(answers), consults, auxiliary)
            losses = replace(losses, total=losses.total + extra)
        self.step += self.training
        return losses

    def _pass(self, x: Inputs, owns: Tensor | None, consults: Tensor | None) -> tuple[Outputs, Outputs]:
        """What students answer under supervision, and what those say who are consulted."""
        parts = self._parts()
        want = [name for part in parts for name in part.want]
        layers = list(dict.fromkeys(k for part in parts if isinstance(part, Local) for k in part.layers))
        if owns is None:
            heard = self.listen.want if self.listen is not None else ()
            outputs = self.group(x, want=(*want, *heard), layers=layers)
            return outputs, outputs
        asked = _asked(owns, consults)
        if self.peers == "joint" and not parts and asked.any():
            return self._together(x, owns, asked)
        answers = None if self.peers_gradient else self._ask(x, asked)
        outputs = self.group(x, sees=owns, want=want, layers=layers)
        if self.peers_gradient:  # only now: their graph would hold statistics that the supervised pass moves
            answers = self._ask(x, asked)
        return outputs, answers or outputs

    def _together(self, x: Inputs, owns: Tensor, asked: Tensor) -> tuple[Outputs, Outputs]:
        """Owners and those whom they consult in one pass, each then on the rows that are asked of it."""
        both = self.group(x, sees=owns | asked, want=self.listen.want if self.listen is not None else ())
        return only(both, owns), only(both, asked, gradient=self.peers_gradient)

    def _ask(self, x: Inputs, asked: Tensor) -> Outputs | None:
        """The consulted peers' answers on each owner's rows; `None` where nobody is asked."""
        if not asked.any():
            return None
        want = self.listen.want if self.listen is not None else ()
        seed = derive(self.seed, "peers", self.step)
        training = self.peers != "eval" and self.training
        with traceless(self.group.model, training=training, seed=seed, gradient=self.peers_gradient):
            outputs: Outputs = self.group(x, sees=asked, want=want)
        return outputs

    def _add(
        self, step: Step, answers: Outputs, consults: Tensor | None, auxiliary: dict[str, Tensor]
    ) -> Losses:
        outputs, y, progress = step.outputs, step.y, step.progress
        logits = outputs.logits
        sees = to_device(outputs.sees, logits.device)
        supervised = masked_mean(label_loss(logits, y), sees)
        imitation = torch.zeros_like(supervised)
        if self.listen is not None and consults is not None:
            weights = self.listen.weights(answers, consults)
            heard = self.listen.answers(answers, y)
            imitation = masked_mean(self._imitation(logits, heard, weights), sees)
            if self._ensemble:
                auxiliary["ensemble"] = F.cross_entropy(mixed_answers(heard, weights[..., :1, :])[0], y)
        each = self.supervised_weight(progress) * supervised + self.imitation_weight(progress) * imitation
        total = each.sum() if self.reduction == "sum" else each.mean()
        if "ensemble" in auxiliary:
            total = total + self.ensemble_weight(progress) * auxiliary["ensemble"]
        return Losses(total, supervised, imitation, auxiliary, logits)

    def _imitation(self, logits: Tensor, heard: Tensor, weights: Tensor) -> Tensor:
        """The imitation loss of each student on each row."""
        assert self.listen is not None
        if self.listen.pairwise:
            peers = heard.detach() if self.detach else heard
            return pairwise_loss(logits, peers, weights, self.temperature, self.divergence, self.scale_by_t2)
        targets = peer_targets(heard, weights, self.temperature, self.aggregate)
        return imitation_loss(
            logits,
            targets.detach() if self.detach else targets,
            self.temperature,
            self.divergence,
            self.scale_by_t2,
        )

    @property
    def shipped(self) -> StudyGroup | Peers:
        """The students who are scored and shipped: the group, or the moving averages of it where there are some."""
        averages = [part.averages for part in self.auxiliary if isinstance(part, MeanTeachers)]
        return averages[0] if averages else self.group

    def _parts(self) -> list[Auxiliary]:
        return [part for part in self.auxiliary if isinstance(part, Auxiliary)]

    def get_extra_state(self) -> dict[str, Any]:
        """The step counter, for the state dict."""
        return {"step": self.step}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the step counter back."""
        self.step = state["step"]


def _asked(owns: Tensor, consults: Tensor | None) -> Tensor:
    """Which student is consulted on which row: by the row's owner."""
    if consults is None:
        return torch.zeros_like(owns)
    return (consults.T.to(torch.uint8) @ owns.to(torch.uint8)).bool()


def _schedule(weight: float | Callable[[float], float]) -> Schedule:
    return weight if callable(weight) else constant(float(weight))
