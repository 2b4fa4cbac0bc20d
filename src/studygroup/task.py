"""A training task: the students, their objectives, and the one place where losses are weighted and summed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor, nn

from studygroup._engine.equal_starts import EqualStudents, Learners
from studygroup._engine.isolate import only_trains
from studygroup._engine.migrate import upgraded
from studygroup._engine.parameter_groups import ParameterGroups
from studygroup._engine.selection import to_device
from studygroup.answering import answered
from studygroup.checks import check_choice, check_flag, check_kind, check_whole, shown
from studygroup.functional.precision import single
from studygroup.group import Group
from studygroup.inputs import Inputs
from studygroup.losses import Losses
from studygroup.objectives import Criterion, CrossEntropy, Objective, Step, as_criterion
from studygroup.objectives.teaching import check_names_differ, check_teacher, check_turns, learns_from_labels
from studygroup.ownership import SharedRows, Subsets
from studygroup.planning import Plan, planned
from studygroup.teachers import Teacher

Answering = Literal["joint", "train", "eval"]
_ANSWERING: tuple[Answering, ...] = ("joint", "train", "eval")
_CLASSES = CrossEntropy()
_WANTED = "a list of studygroup.objectives"


class CollaborativeLearning(ParameterGroups):
    """A group and the objectives from which it learns: call it in any training loop.

    total = reduce_k [Σ_o w_o(t) · L_o,k] + Σ_p w_p(t) · L_p, over objectives o that have a value for each student
    (the labels, the imitation of a teacher) and objectives p that have one for all.

    Args:
        group: the students.
        objectives: the terms of the total, each with a name of its own; see `studygroup.objectives`.
        rows: what the method requires of the data, for the code that builds the loader.
        exports: the group that is scored and shipped, such as moving averages; omitted, `group`.
        reduction: `"sum"` or `"mean"` over students.
        peers: how those whom a row's owner consults answer on that row: `"joint"`, in the owner's own pass with
            shared prefixes, where no objective captures anything of that pass, otherwise as `"train"`; `"train"`, in
            a second pass with batch statistics; `"eval"`, in a second pass with running statistics. A second pass has
            no side effects.
        in_turn: update one student after another on every batch, each on the others' latest answers; iterate over
            `steps`. Otherwise all are updated together.
        seed: seed of all draws of the teachers and of the peers' dropout.

    Attributes:
        teachers: the teachers of all objectives.
        sources: the groups besides `group` that answer to them: averages, frozen networks.
        step: training steps done, kept in the state dict; draws depend on (seed, step).

    Raises:
        ValueError: an unknown `reduction` or `peers`, two objectives of one name, a teacher that does not fit the
            group, one with parameters that no objective trains, `in_turn` with sub-sets or with a teacher that
            learns.

    Example:
        >>> cgl = [Supervised(), Imitation(RandomSubgroup(0.25), weight=ramp, moves_teachers=True)]
        >>> task = sg.CollaborativeLearning(group, cgl, rows=sg.Subsets())
        >>> losses = task(images, labels, owner=owner, progress=epoch / epochs)
        >>> losses.total.backward()
    """

    def __init__(
        self,
        group: Group,
        objectives: Iterable[Objective],
        *,
        rows: SharedRows | Subsets | None = None,
        exports: Group | None = None,
        reduction: Literal["sum", "mean"] = "sum",
        peers: Answering = "train",
        in_turn: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, ("sum", "mean"))
        check_choice("peers", peers, _ANSWERING)
        seed, in_turn = check_whole("seed", seed), check_flag("in_turn", in_turn)
        if rows is not None and not isinstance(rows, SharedRows | Subsets):
            raise ValueError(f"rows is {shown(rows)}; give SharedRows() or Subsets(...)")
        several = check_kind("objectives", objectives, Iterable, _WANTED)
        added = [check_kind("one of the objectives", one, Objective, _WANTED) for one in several]
        teachers = list(dict.fromkeys(teacher for one in added for teacher in one.teachers))
        others = dict.fromkeys(one for one in (*(t.of for t in teachers), exports) if one is not None)
        self.group = check_kind("group", group, Group, "a StudyGroup, or Peers")
        self.teachers = nn.ModuleList(teachers)
        self.sources = nn.ModuleList(one for one in others if one is not group)
        self.objectives = nn.ModuleList(added)
        self._exports = (exports,)  # in a tuple, so that it is no sub-module: it stands among the sources
        self.rows = rows or SharedRows()
        self.reduction = reduction
        self.peers = peers
        self.in_turn = in_turn
        self.seed = seed
        self.step = 0
        check_names_differ([one.name for one in added])
        for teacher in teachers:
            teacher.join(students=group.students, seed=seed)
            check_teacher(teacher, group, added)
        self._learners = Learners(group.students, group.parameters_of)
        parted = in_turn or isinstance(self.rows, Subsets) or any(map(learns_from_labels, added))
        equal, asked = None if parted else group.equal_students(), [one.consults for one in teachers]
        self._equal = EqualStudents(group.routes, equal, asked)
        if in_turn:
            check_turns(teachers, shared=isinstance(self.rows, SharedRows))

    @property
    def turns(self) -> int:
        """Number of updates per batch: one for each student, or one for all."""
        return self.group.students if self.in_turn else 1

    @property
    def shipped(self) -> Group:
        """The group that is scored and shipped."""
        return self._exports[0] or self.group

    @property
    def criterion(self) -> Criterion:
        """The meaning of labels and how answers are compared: the criterion of the first objective that has one."""
        return next((one.criterion for one in self._objectives() if one.criterion is not None), _CLASSES)

    def with_criterion(self, criterion: nn.Module) -> "CollaborativeLearning":
        """Let the task learn from labels other than one class per row, whatever its recipe.

        Args:
            criterion: replaces the objectives' own; a loss of torch, or a module that gives one number a row, is
                taken as `objectives.as_criterion` says.

        Returns:
            The task itself.

        Raises:
            ValueError: it is no such loss.

        Example:
            >>> task = sg.recipes.dml(model).with_criterion(sg.objectives.BinaryCrossEntropy())
        """
        chosen = as_criterion(criterion)
        for one in self._objectives():
            if one.criterion is not None:
                one.criterion = chosen
        return self

    def with_inputs(self, *, rows: Sequence[str] = (), shared: Sequence[str] = ()) -> "CollaborativeLearning":
        """Name inputs whose length does not tell whether they carry rows, for all groups of the task.

        Args:
            rows: names of inputs that carry rows, see `StudyGroup`.
            shared: names of inputs that all students get as they are, such as a table of classes.

        Returns:
            The task itself.

        Raises:
            ValueError: a name under both.

        Example:
            >>> task = sg.recipes.dml(model).with_inputs(shared=["class_embeddings"])
        """
        for group in (self.group, *(one for one in self.sources if isinstance(one, Group))):
            group.declare_inputs(rows=rows, shared=shared)
        return self

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of every objective by name.

        Args:
            progress: how far training has come, from 0 to 1.
        """
        return {one.name: one.weight_at(progress) for one in self._objectives()}

    def figures(self) -> dict[str, Float[Tensor, ""]]:
        """Return the teachers' figures of the last batch to log, by name; scalars on the device."""
        return {name: value for one in self._teachers() for name, value in one.figures().items()}

    def steps(
        self,
        x: Inputs,
        y: Shaped[Tensor, "rows *_"],
        *,
        owner: Int[Tensor, " rows"] | Sequence[int] | None = None,
        progress: float = 1.0,
        share: Float64[Tensor, " students"] | None = None,
    ) -> Iterator[Losses]:
        """Yield the losses of each update on a batch, one after another; update before taking the next.

        With `in_turn` a student's loss has gradients for its own parameters alone: the others get none, so that
        momentum and weight decay leave them as they are. Otherwise there is one update, that of `forward`.

        Args:
            x: as for `forward`, and so are the others.
            y: the labels.
            owner: as for `forward`; not with `in_turn`.
            progress: how far training has come.
            share: as for `forward`.

        Raises:
            ValueError: as `forward`, or owners of rows that all students take in turn.

        Example:
            >>> for losses in task.steps(images, labels):
            ...     optimizer.zero_grad()
            ...     losses.total.backward()
            ...     optimizer.step()
        """
        if not self.in_turn:
            yield self(x, y, owner=owner, progress=progress, share=share)
            return
        if owner is not None:
            raise ValueError(
                "rows have owners, and in_turn=True gives every row to every student; leave owner out"
            )
        for student in range(self.group.students):
            with only_trains(self.group.parameters(), self.group.parameters_of(student)):
                own = [student] * self.group.count_rows(x)
                losses: Losses = self(x, y, owner=own, progress=progress, share=share)
            yield losses

    def forward(
        self,
        x: Inputs,
        y: Shaped[Tensor, "rows *_"],
        *,
        owner: Int[Tensor, " rows"] | Sequence[int] | None = None,
        progress: float = 1.0,
        share: Float64[Tensor, " students"] | None = None,
    ) -> Losses:
        """Return the losses of one step.

        Args:
            x: the batch, as the model takes it.
            y: labels as the objectives take them, one per row, on the device of the logits.
            owner: the student for whom each row is supervised: a sequence or a CPU tensor. Those whom the owner
                consults answer on that row too, see `peers`. Omitted, every student sees every row and one pass
                serves. What a step does not concern, such as the layers of a student without rows, gets no gradient,
                so that the optimiser leaves it as it is; with several processes that exchange gradients it gets
                zeros, except under `DistributedDataParallel(find_unused_parameters=True)`.
            progress: how far training has come, from 0 to 1; weights are functions of it.
            share: where several processes divide a step, what each student's rows here count, see `parallel.part`:
                all values and the total are multiplied by it.

        Raises:
            ValueError: owners that are not students, labels or shares of another length, progress outside [0, 1], one
                loss for students that are trained in turn, or labels that an objective refuses.
        """
        if torch.compiler.is_compiling():
            step = torch.compiler.disable(CollaborativeLearning._compiled_step, recursive=False)  # type: ignore[no-untyped-call]
            compiled: Losses = step(self, x, y, owner, progress, share)
            return compiled
        plan = planned(self, x, y, owner, progress, share)
        losses = self._computed(x, y, plan)
        self._noted(losses, plan)
        return losses

    def _compiled_step(
        self,
        x: Inputs,
        y: Tensor,
        owner: Tensor | Sequence[int] | None,
        progress: float,
        share: Tensor | None,
    ) -> Losses:
        """Take a step of which the compiler sees `_computed` alone; this frame and what it disables are Python's."""
        python = torch.compiler.disable
        plan = python(planned)(self, x, y, owner, progress, share, compiled=True)  # type: ignore[no-untyped-call]
        try:
            computed = self._computed if plan.compiled else python(self._computed)  # type: ignore[no-untyped-call]
            losses: Losses = computed(x, y, plan)
        finally:
            python(plan.ended)()  # type: ignore[no-untyped-call]
        python(self._noted)(losses, plan)  # type: ignore[no-untyped-call]
        return losses

    def _computed(self, x: Inputs, y: Tensor, plan: Plan) -> Losses:
        """Compute a step's losses: what `torch.compile` makes one graph of."""
        objectives = self._objectives()
        known = {one.name: one.before_pass(self.group) for one in objectives}
        return self._add(objectives, answered(self, x, y, plan), known, plan.weights)

    def _noted(self, losses: Losses, plan: Plan) -> None:
        """Note that a step was taken."""
        if plan.owns is None and losses.total.requires_grad:
            self._equal.look(self.group.model, losses.logits, step=self.step)
        if self.training and not self.in_turn:
            self._learners.look(self.group.students, self.group.parameters_of)
        # a task may be fine-tuned in evaluation mode
        self.step += self.training or losses.total.requires_grad

    def _add(
        self,
        objectives: Sequence[Objective],
        step: Step,
        known: Mapping[str, Tensor | None],
        weights: Mapping[str, float | Tensor],
    ) -> Losses:
        """Weight and sum all objectives: the only place where that is done."""
        logits = single(step.outputs.logits)
        of_students = logits.new_zeros(self.group.students)
        shared = []
        values = {}
        for one in objectives:
            value = known[one.name]
            if value is None:
                value = one.loss(step)
                if step.share is not None and value.ndim:
                    value = value * to_device(step.share, value.device).to(value)
                elif step.share is not None:
                    value = value * step.share_of_all(one.name)
            values[one.name] = value
            weight = weights[one.name]
            weighted = (weight.to(value.dtype).squeeze() if isinstance(weight, Tensor) else weight) * value
            if value.ndim:
                of_students = of_students + weighted
            else:
                shared.append(weighted)
        reduced = of_students.sum() if self.reduction == "sum" else of_students.mean()
        zero = step.layer_gradients.total(step.group, step.outputs)
        total = sum((*shared, *([] if zero is None else [zero])), reduced)
        return Losses(total, values, logits)

    def get_extra_state(self) -> Shaped[Tensor, ""]:
        """Return the step counter, for the state dict."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor | dict[str, int]) -> None:
        """Restore the step counter, also from a state of version 0.1.0, which is a mapping."""
        self.step = state["step"] if isinstance(state, dict) else int(state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load a state dict, also of version 0.1.0, of this module or of one that contains it."""
        given = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
        for key in given:
            del state_dict[prefix + key]
        new = upgraded(given, [one.name for one in self._objectives()])
        state_dict.update({prefix + key: value for key, value in new.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _objectives(self) -> list[Objective]:
        return [one for one in self.objectives if isinstance(one, Objective)]

    def _teachers(self) -> list[Teacher]:
        return [one for one in self.teachers if isinstance(one, Teacher)]
