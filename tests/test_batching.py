import itertools

import pytest
import torch

from studygroup.data import SharedBatches, StudentBatches, subsets


def counts(parts, rows):
    return torch.bincount(torch.cat(list(parts)), minlength=rows)


@pytest.mark.parametrize(("rows", "students"), [(10, 1), (10, 3), (45_000, 8), (8, 8)])
def test_subsets_are_disjoint_equal_and_cover_all(rows, students):
    parts = subsets(rows, students, seed=1)
    assert counts(parts, rows).tolist() == [1] * rows
    assert {len(part) for part in parts} <= {rows // students, -(-rows // students)}


@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.5, 0.9])
def test_overlap_is_the_share_of_the_others_rows(overlap):
    rows, students = 103, 4
    parts = subsets(rows, students, overlap=overlap, seed=1)
    own = subsets(rows, students, seed=1)
    sizes = [len(part) for part in parts]
    assert sizes == [len(mine) + round(overlap * (rows - len(mine))) for mine in own]
    assert max(sizes) - min(sizes) <= 1
    assert counts(parts, rows).min() >= 1
    assert all(len(part.unique()) == len(part) for part in parts)


def test_full_overlap_is_everything_for_everyone():
    assert all(part.tolist() == list(range(11)) for part in subsets(11, 3, overlap=1.0))


def test_subsets_are_a_function_of_the_seed():
    assert all(map(torch.equal, subsets(50, 5, seed=2), subsets(50, 5, seed=2)))
    assert not torch.equal(subsets(50, 5, seed=2)[0], subsets(50, 5, seed=3)[0])


@pytest.mark.parametrize(
    ("rows", "students", "overlap", "message"),
    [(3, 4, 0.0, "cannot deal 3 rows to 4"), (3, 0, 0.0, "to 0 students"), (9, 3, 1.5, "overlap is 1.5")],
)
def test_subsets_refuse(rows, students, overlap, message):
    with pytest.raises(ValueError, match=message):
        subsets(rows, students, overlap=overlap)


def test_a_step_has_rows_of_each_student_in_order():
    parts = subsets(50, 3, seed=0)  # 17, 17 and 16 rows
    steps = list(StudentBatches(parts, batch_size=5))
    assert len(steps) == len(StudentBatches(parts, batch_size=5)) == 4
    for _, owner, _ in steps[:-2]:
        assert owner.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert steps[-2][1].tolist() == [0] * 5 + [1] * 5 + [2] * 6  # with the row that would be alone
    assert steps[-1][1].tolist() == [0, 0, 1, 1]  # the last short one
    for student, part in enumerate(parts):
        seen = torch.cat([indices[owner == student] for indices, owner, _ in steps])
        assert seen.sort().values.tolist() == part.tolist()


def test_odd_rows_join_the_step_before():
    steps = list(StudentBatches(subsets(50, 3), batch_size=4))  # 17, 17 and 16 rows
    assert [len(owner) for _, owner, _ in steps] == [12, 12, 12, 14]
    assert len(StudentBatches(subsets(50, 3), batch_size=4)) == 4
    uneven = StudentBatches([torch.arange(9), torch.arange(2)], batch_size=4)
    assert [owner.tolist() for _, owner, _ in uneven] == [[0] * 4 + [1] * 2, [0] * 5]


@pytest.mark.parametrize(
    "sizes", [(161,), (33,), (64, 65), (9, 5, 2), (7, 13, 12), (4, 8, 3), (5, 5, 5), (6, 2)]
)
@pytest.mark.parametrize("batch_size", [2, 3, 4, 32])
def test_nobody_is_alone_with_one_row(sizes, batch_size):
    starts = [sum(sizes[:student]) for student in range(len(sizes))]
    parts = [torch.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    steps = list(StudentBatches(parts, batch_size=batch_size))
    assert len(steps) == len(StudentBatches(parts, batch_size=batch_size))
    assert torch.cat([draw.rows for draw in steps]).sort().values.tolist() == list(range(sum(sizes)))
    for draw in steps:
        assert len(draw.rows)
        assert set(torch.bincount(draw.owner).tolist()) <= {0, *range(2, batch_size + 2)}


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [
        (161, 32, [32, 32, 32, 32, 33]),
        (160, 32, [32] * 5),
        (162, 32, [32] * 5 + [2]),
        (33, 32, [33]),
        (1, 32, [1]),
        (3, 1, [1, 1, 1]),
        (5, 2, [2, 3]),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_odd_row_of_all_joins_the_step_before(rows, batch_size, sizes, shuffle):
    sampler = SharedBatches(rows, batch_size=batch_size, shuffle=shuffle)
    assert [len(draw.rows) for draw in sampler] == sizes
    assert len(sampler) == len(sizes)
    dropped = SharedBatches(rows, batch_size=batch_size, shuffle=shuffle, drop_last=True)
    assert [len(draw.rows) for draw in dropped] == [batch_size] * (rows // batch_size)
    assert len(dropped) == rows // batch_size


def test_drop_last_keeps_whole_steps_only():
    sampler = StudentBatches(subsets(50, 3), batch_size=4, drop_last=True)
    assert [len(owner) for _, owner, _ in sampler] == [12] * 4
    assert len(sampler) == 4


def orders(sampler, epoch):
    sampler.set_epoch(epoch)
    return [(indices.tolist(), None if owner is None else owner.tolist()) for indices, owner, _ in sampler]


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: StudentBatches(subsets(50, 3), batch_size=4, seed=seed),
        lambda seed: SharedBatches(50, batch_size=4, seed=seed),
    ],
)
def test_order_is_a_pure_function_of_seed_and_epoch(make):
    sampler = make(5)
    first, second = orders(sampler, 0), orders(sampler, 1)
    assert first != second
    assert orders(sampler, 0) == first  # going back, and on another object
    assert orders(make(5), 1) == second
    assert orders(make(6), 0) != first


@pytest.mark.parametrize("step", [0, 1, 3, 4])
def test_resumes_inside_an_epoch(step):
    sampler = StudentBatches(subsets(50, 3), batch_size=4, seed=5)
    whole, after = orders(sampler, 7), orders(sampler, 8)
    sampler.resume(epoch=7, step=step)
    assert orders(sampler, 7) == whole[step:]
    assert len(sampler) == 4
    assert orders(sampler, 8) == after


def test_shared_rows_have_no_owner():
    steps = list(SharedBatches(10, batch_size=4))
    assert [len(indices) for indices, _, _ in steps] == [4, 4, 2]
    assert all(owner is None for _, owner, _ in steps)
    assert sorted(itertools.chain.from_iterable(indices.tolist() for indices, _, _ in steps)) == list(
        range(10)
    )


def test_without_shuffling_rows_keep_their_order():
    steps = orders(SharedBatches(10, batch_size=4, shuffle=False), 3)
    assert [row for indices, _ in steps for row in indices] == list(range(10))


def test_no_rows_are_no_steps():
    assert list(SharedBatches(0)) == []


@pytest.mark.parametrize(
    ("parts", "batch_size", "message"),
    [
        ((), 4, r"\[\] rows"),
        ((torch.arange(0),), 4, r"\[0\] rows"),
        ((torch.arange(3),), 0, "batch_size is 0"),
    ],
)
def test_batches_refuse(parts, batch_size, message):
    with pytest.raises(ValueError, match=message):
        StudentBatches(parts, batch_size=batch_size)


def padded(steps, lengths):
    """Share of a run's places that is padding, each step filled up to its longest row."""
    rows = [lengths[draw.rows] for draw in steps]
    return 1 - sum(int(some.sum()) for some in rows) / sum(len(some) * int(some.max()) for some in rows)


def skewed(rows, seed=0):
    """Lengths as those of film reviews: most short, some up to ten times as long."""
    draws = torch.randn(rows, generator=torch.Generator().manual_seed(seed))
    return (100 * (0.8 * draws).exp()).clamp(10, 1000).int()


def shared(rows, **options):
    return SharedBatches(rows, batch_size=16, seed=1, **options)


def with_subsets(rows, **options):
    return StudentBatches(subsets(rows, 4, seed=0), batch_size=4, seed=1, **options)


@pytest.mark.parametrize("make", [shared, with_subsets])
def test_rows_of_like_length_share_a_step(make):
    lengths = skewed(4_003)
    plain, alike = list(make(4_003)), list(make(4_003, lengths=lengths))
    assert len(plain) == len(alike)
    assert [len(draw.rows) for draw in plain] == [len(draw.rows) for draw in alike]
    assert torch.cat([draw.rows for draw in alike]).sort().values.tolist() == list(range(4_003))
    assert padded(plain, lengths) > 0.5
    assert padded(alike, lengths) < 0.12
    for before, after in zip(plain, alike, strict=True):
        assert (before.owner is None and after.owner is None) or torch.equal(before.owner, after.owner)


@pytest.mark.parametrize("make", [shared, with_subsets])
def test_steps_of_like_rows_are_shuffled(make):
    lengths = skewed(4_003)
    longest = [int(lengths[draw.rows].max()) for draw in make(4_003, lengths=lengths)]
    rises = sum(a < b for a, b in itertools.pairwise(longest)) / len(longest)
    assert 0.35 < rises < 0.65
    sampler = make(4_003, lengths=lengths)
    first, again, other = orders(sampler, 0), orders(sampler, 0), orders(sampler, 1)
    assert first == again
    assert first != other


def test_each_students_rows_stay_his_own_where_lengths_differ():
    parts, lengths = subsets(1_001, 3, seed=0), skewed(1_001)
    steps = list(StudentBatches(parts, batch_size=8, seed=1, lengths=lengths))
    for student, part in enumerate(parts):
        seen = torch.cat([rows[owner == student] for rows, owner, _ in steps])
        assert seen.sort().values.tolist() == part.tolist()


def test_without_shuffling_the_shortest_rows_come_first():
    lengths = torch.tensor([5, 2, 9, 2, 1], dtype=torch.int32)
    steps = SharedBatches(5, batch_size=2, shuffle=False, lengths=lengths)
    assert [draw.rows.tolist() for draw in steps] == [[4, 1], [3, 0, 2]]


def test_few_rows_of_different_length_are_one_short_step():
    lengths = torch.tensor([5, 2, 9], dtype=torch.int32)
    (draw,) = SharedBatches(3, batch_size=4, lengths=lengths)
    assert sorted(draw.rows.tolist()) == [0, 1, 2]
