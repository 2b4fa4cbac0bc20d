import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from studygroup._engine.rows import BatchLayout


def rows_by_loop(sees, choice):
    """Rows after one split, written from the definition: (lowest student, sample, students, module)."""
    rows = []
    for sample in range(sees.shape[1]):
        for module in set(choice):
            students = {k for k in range(len(choice)) if sees[k, sample] and choice[k] == module}
            if students:
                rows.append((min(students), sample, students, module))
    return sorted(rows, key=lambda row: row[:2])


@pytest.mark.parametrize("seed", range(20))
def test_rows_stand_in_canonical_order(seed):
    draw = torch.Generator().manual_seed(seed)
    sees = torch.rand(4, 7, generator=draw) < 0.5
    sees[0, 0] = True
    choice = tuple(torch.randint(3, (4,), generator=draw).tolist())
    layout = BatchLayout(sees)
    split = layout.split(layout.entry, choice, 3)
    expected = rows_by_loop(sees, choice)
    after = [
        (int(s.nonzero()[0]), int(n), set(s.nonzero().flatten().tolist()))
        for s, n in zip(split.rows.students, split.rows.sample, strict=True)
    ]
    assert after == [row[:3] for row in expected]
    for module, part in zip(split.modules, split.parts, strict=True):
        own = [(row[1], row[2]) for row in expected if row[3] == module]
        assert [
            (int(n), set(s.nonzero().flatten().tolist()))
            for s, n in zip(part.students, part.sample, strict=True)
        ] == own
    values = torch.arange(7.0)[:, None]
    entered = layout.enter([values])[0]
    parts = split.take([entered])
    back = split.restore(parts)[0]
    assert back.flatten().tolist() == [row[1] for row in expected]
    left = layout.scatter([(split.rows, back)])
    assert torch.equal(left[..., 0], torch.where(sees, torch.arange(7.0), 0))


def test_equal_row_counts_are_the_same_rows():
    layout = BatchLayout(torch.eye(4, dtype=torch.bool)[:, [2, 0, 3, 1, 0]])
    first = layout.split(layout.entry, (0, 1, 0, 1), 2)
    assert torch.equal(first.rows.sample, layout.entry.sample)
    assert torch.equal(first.rows.students, layout.entry.students)
    again = layout.split(first.rows, (0, 1, 0, 1), 2)
    assert again.rows is first.rows  # nobody can part there any more
    assert first.idle == ()
    assert layout.split(layout.entry, (1, 1, 1, 1), 2).idle == (0,)


def test_places_and_sub_groups_are_told_by_all_layers_before():
    """Who has parted at one layer stays apart after the next, whose modules both share."""
    layout = BatchLayout(torch.ones(4, 2, dtype=torch.bool))
    first = layout.split(layout.entry, (0, 0, 1, 1), 2).rows
    assert first.apart == (0, 0, 1, 1)
    second = layout.split(first, (0, 1, 0, 1), 2).rows
    assert second.apart == (0, 1, 2, 3)
    other = layout.split(layout.split(layout.entry, (0, 1, 0, 1), 2).rows, (0, 0, 0, 0), 1).rows
    assert other.apart == (0, 1, 0, 1)
    assert len({layout.entry.place, first.place, second.place, other.place}) == 4
    assert len(BatchLayout(torch.ones(4, 2, dtype=torch.bool), apart=(1, 1, 0, 0)).entry) == 4


def test_rows_of_several_modules_are_laid_out_together():
    sees = torch.tensor([[True, False, True], [True, True, True], [False, True, True]])
    layout = BatchLayout(sees)
    split = layout.split(layout.entry, (0, 1, 0), 2)
    values = torch.arange(3.0)[:, None] + 1
    parts = split.take(layout.enter([values]))
    found = layout.scatter(list(zip(split.parts, parts, strict=True)))
    assert torch.equal(found[..., 0], torch.where(sees, torch.arange(3.0) + 1, 0))
    whole = BatchLayout(torch.ones(2, 3, dtype=torch.bool))
    assert (
        whole.scatter([(whole.entry, values)]).untyped_storage().data_ptr()
        == values.untyped_storage().data_ptr()
    )


def test_what_rows_stand_for():
    """A row that stands for two students has the mean of their answers; a student's rows have weights of sum 1."""
    sees = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)
    layout = BatchLayout(sees)
    rows = layout.split(layout.entry, (0, 0, 1), 2).rows
    found = layout.row_weights(rows, torch.device("cpu"), torch.float64)
    assert found.sample.tolist() == [0, 1, 2, 2, 3]
    assert found.mean.tolist() == [[0.5, 0.5, 0]] * 3 + [[0, 0, 1]] * 2
    assert found.share.tolist() == [1 / 3] * 3 + [1 / 2] * 2
    assert layout.row_weights(rows, torch.device("cpu"), torch.float64) is found
    assert layout.row_weights(layout.entry, torch.device("cpu")).share.dtype == torch.float32


class Operations(TorchDispatchMode):
    """Names of the operations that are run inside."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_blocks_of_rows_need_no_index_on_the_device():
    """Sorted owners, as the loader gives them: every step of the way is a slice or a concatenation."""
    owner = torch.arange(8).repeat_interleave(64)
    layout = BatchLayout(torch.arange(8)[:, None] == owner)
    split = layout.split(layout.entry, (0, 1, 1, 0, 1, 0, 0, 1), 2)
    batch = torch.randn(512, 3)
    assert layout.enter([batch])[0] is batch
    with Operations() as seen:
        split.restore(split.take([batch]))
    assert seen.names <= {"split_with_sizes", "unsafe_split_with_sizes", "cat"}
