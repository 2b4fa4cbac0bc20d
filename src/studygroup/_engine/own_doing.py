"""Why answers that differ need not be the group's doing: the network draws, or takes statistics over a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from studygroup._engine.near import Near, close, equal
from studygroup._engine.passes import Passes
from studygroup._engine.row_inputs import Batch
from studygroup._engine.watch import Call

_ROWS = 3  # of each student
_SEEDS = (0, 1)


def draws(passes: Passes, batch: Batch, student: int, calls: Sequence[Call]) -> bool:
    """Tell whether a student answers the same rows otherwise the second time.

    Args:
        passes: makes the passes.
        batch: the rows.
        student: the student.
        calls: those of its first pass.
    """
    again = passes.alone(batch, student, seed=1).calls
    return any(
        a.marks is not None and b.marks is not None and not equal(a.marks, b.marks)
        for a, b in zip(calls, again, strict=False)
    )


def exchanges_rows(passes: Passes, batch: Batch, near: Near) -> bool:
    """Tell whether a student's answers change with the order of another's rows, whatever is drawn.

    So they do where a network shuffles all rows in flight by draws that are not replaced. Statistics over the rows
    are the same in any order. Not told where equal seeds give other draws.

    Args:
        passes: makes the passes.
        batch: some rows that differ.
        near: tells whether answers are alike.
    """
    students = len(passes.layers[0].choice) if passes.layers else 1
    count = min(batch.rows, _ROWS)
    if students < 2 or count < 2:
        return False
    places = [place for place in range(count) for _ in range(students)]
    turned = [(place + 1) % count if number % students == 0 else place for number, place in enumerate(places)]
    sees = torch.eye(students, dtype=torch.bool).repeat(1, count)

    def others(order: Sequence[int], seed: int) -> Tensor:
        return passes.together(batch.index(order), sees, seed=seed).logits[1:]

    for seed in _SEEDS:
        try:
            first, again, other = (others(order, seed) for order in (places, places, turned))
        except Exception:  # a network that takes no such rows
            return False
        known = first.shape == again.shape == other.shape and near.logits(first, again, tight=True)
        if known and not near.logits(first, other, tight=True):
            return True
    return False


def takes_statistics(passes: Passes, batch: Batch, student: int, calls: Sequence[Call], near: Near) -> bool:
    """Tell whether a student's answer depends on the other rows, and not on the places where they stand.

    So do norms by the statistics of a batch, which a group takes over the rows in flight. A network that pairs or
    shuffles rows answers otherwise where their order is another.

    Args:
        passes: makes the passes.
        batch: the rows.
        student: the student.
        calls: those of its first pass.
        near: tells how far answers may differ.
    """
    places = list(range(batch.rows))
    orders = [
        places[::-1],
        places[1:] + places[:1],
    ]  # pairs of neighbours, and rows turned round, stand in one
    moved = [passes.alone(batch.index(order), student).calls for order in orders]
    repeated = passes.alone(batch.index([0] * len(places)), student).calls
    loose, depends = near.loose(torch.float32), False
    for own, *others, lonely in zip(calls, *moved, repeated, strict=False):
        marks = [one.marks for one in (own, *others, lonely)]
        there = [one for one in marks if one is not None and len(one) == batch.rows]
        if len(there) < len(marks):
            continue
        if not all(
            close(there[0][order], one, loose=loose) for order, one in zip(orders, there[1:-1], strict=True)
        ):
            return False
        depends = depends or not close(there[0][:1], there[-1][:1], loose=loose)
    return depends
