"""A dry run: passes of a few rows that explore a network, and compare the group with each student alone."""

import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup._engine.asked_mode import asking_for_mode
from studygroup._engine.attributes import Attributes
from studygroup._engine.different_rows import different
from studygroup._engine.isolate import dry_training, without_side_effects
from studygroup._engine.parting import PartingError
from studygroup._engine.passes import Passes
from studygroup._engine.recomputed import way_out
from studygroup._engine.routed import RoutedLayer
from studygroup._engine.row_inputs import Batch
from studygroup._engine.rows import manner
from studygroup._engine.self_check import SelfCheck
from studygroup._engine.uncompiled import as_written
from studygroup._engine.watch import ToldApart, Watch

_OF_NO_GRADIENT = "None of the inputs have requires_grad=True"  # torch's, of activations to be computed again
_ROWS = (2, 3, 4)  # of each student; one more where a size of the network may be that by chance


@dataclass(frozen=True)
class Explored:
    """The findings of a dry run.

    Attributes:
        head: name of the last `nn.Linear` that the network calls; `None` where it calls none.
        apart: number of each student's sub-group, where students part before they enter the network; empty where all
            enter together.
    """

    head: str | None
    apart: tuple[int, ...]


def dry_run(
    model: nn.Module,
    routed: Mapping[str, RoutedLayer],
    batch: Batch,
    *,
    sees: Bool[Tensor, "students rows"],
    training: bool,
    unread: Collection[bool],
) -> Explored:
    """Run a few rows through a network and through each student alone, without gradient and without side effects.

    First in evaluation, then, where asked for and where something in the network asks for its mode, as in training,
    with batch norms in evaluation: a group takes their statistics over the rows of all students, and shows that by
    design. Nothing is drawn.

    Args:
        model: the network with its routed layers.
        routed: these layers, by name.
        batch: a batch, as the model takes it.
        sees: which student sees which of its rows: the few rows are seen in the same manner.
        training: whether the network's modules are compared in their own modes too.
        unread: modes, `True` for training, in which the network is run for the first time: there the parameters that
            are read are compared too.

    Raises:
        InputError: a batch that the network itself cannot take.
        ValueError: a routed layer that the model never calls, a group that answers otherwise than its students, or
            what the pass itself refuses.
    """
    attributes = Attributes(model)
    with ExitStack() as stack:
        stack.enter_context(as_written())
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=_OF_NO_GRADIENT)
        stack.callback(attributes.put_back)
        trial = _Trial(model, routed, batch, sees, attributes)
        with asking_for_mode(model) as mode, without_side_effects(model, training=False) as put_back:
            explored = trial.compared(put_back, reads=False in unread)
        if training and mode.asked:
            with dry_training(model, training=None) as put_back:
                trial.compared(put_back, reads=True in unread, apart=explored.apart, training=True)
    return explored


@dataclass(frozen=True)
class _Trial:
    """Passes of the group on a few rows of a batch, compared with each student."""

    model: nn.Module
    routed: Mapping[str, RoutedLayer]
    batch: Batch
    sees: Bool[Tensor, "students rows"]
    attributes: Attributes

    def compared(
        self,
        put_back: Callable[[], None],
        *,
        reads: bool,
        apart: tuple[int, ...] = (),
        training: bool = False,
    ) -> Explored:
        """Compare the group with its students in one mode."""
        watch, layers = Watch(), list(self.routed.values())
        with ToldApart().on(layers) as told, watch.on(self.model):
            passes = Passes(
                self.model,
                layers,
                watch,
                told=told,
                apart=apart,
                attributes=self.attributes,
                put_back=put_back,
                reads=reads,
                training=training,
            )
            for rows in (counts := _ROWS[training : training + 2]):
                try:
                    return self._run(passes, rows)
                except PartingError:
                    if rows == counts[-1]:
                        raise
        raise AssertionError("unreachable")

    def _run(self, passes: Passes, rows: int) -> Explored:
        places, table = few(self.sees, rows)
        given = self.batch.index(places)
        changed = different(given)
        if changed is not None:
            try:
                return self._on(passes, changed, table)
            except Exception:
                if passes.refusal(changed, 0) is None:  # they are rows that the network takes
                    raise
        return self._on(passes, given, table)

    def _on(self, passes: Passes, given: Batch, table: Tensor) -> Explored:
        together = passes.together(given, table)
        never = [name for name in self.routed if name not in together.state.reached]
        if never:
            mode = " in training" if passes.training else ""
            raise ValueError(
                f"layer {never[0]!r} is routed but the model never calls it{mode}, so its students would not differ; "
                f"leave it out, or name the block that holds it{way_out(passes.model)}"
            )
        check = SelfCheck(passes)
        if check.compare(together, given, table):
            check.compare_turned(given, table)
            for arguments in together.state.entered_alone:
                arguments.allow_entered()
        for arguments, path, shape, kind in together.state.notes:
            arguments.note(path, shape, kind)
        linears = [call.name for call in together.calls if isinstance(call.module, nn.Linear)]
        return Explored(head=linears[-1] if linears else None, apart=passes.apart)


def few(sees: Bool[Tensor, "students rows"], rows: int) -> tuple[list[int], Bool[Tensor, "students few"]]:
    """Choose a few rows of each student, seen in the batch's manner: by all, by one owner each, or as they are.

    Returns:
        Their places, one perhaps several times, and which student sees which of them.
    """
    students, there = sees.shape
    seen = sees.any(0).nonzero().flatten().tolist()
    seen_by = manner(sees)
    if seen_by == "all":
        return [place % there for place in range(rows)], torch.ones(students, rows, dtype=torch.bool)
    if seen_by == "one":
        places = [seen[place % len(seen)] for place in range(rows * students)]
        return places, torch.eye(students, dtype=torch.bool).repeat(1, rows)
    chosen = sorted({int(place) for own in sees for place in own.nonzero().flatten()[:rows]})
    return chosen, sees[:, chosen]
