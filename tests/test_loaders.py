"""A loader of any data set: whose row is whose, in which epoch."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import studygroup as sg

ROWS = 37


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def cgl() -> sg.CollaborativeLearning:
    return sg.recipes.cgl(make(), layers=["0", "2"], students=4, init=make)


@pytest.fixture
def dataset() -> TensorDataset:
    return TensorDataset(torch.arange(ROWS).float().unsqueeze(1), torch.arange(ROWS) % 3)


def seen(loader) -> dict[int, list[int]]:
    """Return the rows of each student in an epoch."""
    found: dict[int, list[int]] = {}
    for x, y, owner in loader:
        assert torch.equal(x.flatten().long() % 3, y)
        assert min(owner.count(student) for student in set(owner)) > 1
        for row, student in zip(x.flatten().long().tolist(), owner, strict=True):
            found.setdefault(student, []).append(row)
    return found


def test_students_keep_their_rows_and_every_epoch_has_an_order_of_its_own(cgl, dataset):
    loader = sg.student_loader(dataset, cgl, batch_size=4)
    first, second = seen(loader), seen(loader)
    assert sorted(first) == [0, 1, 2, 3]
    for student, rows in first.items():
        assert set(rows) == set(second[student])
        assert rows != second[student]
    assert set().union(*first.values()) == set(range(ROWS))
    assert sum(len(set(rows)) for rows in first.values()) == ROWS, "no row has two owners"
    loader.batch_sampler.set_epoch(0)
    assert seen(loader) == first
    assert seen(sg.student_loader(dataset, cgl, batch_size=4)) == first
    other = seen(sg.student_loader(dataset, cgl, batch_size=4, seed=1))
    assert set(other[0]) != set(first[0])


def test_loader_processes_change_nothing(cgl, dataset):
    plain = sg.student_loader(dataset, cgl, batch_size=4)
    other = sg.student_loader(
        dataset, cgl, batch_size=4, num_workers=1, persistent_workers=True, multiprocessing_context="fork"
    )
    for _ in range(2):
        assert seen(other) == seen(plain)


def test_batches_train_a_task(cgl, dataset):
    for x, y, owner in sg.student_loader(dataset, cgl, batch_size=4):
        losses = cgl(x, y, owner=owner, progress=1.0)
        losses.total.backward()
    assert cgl.step == 3


def test_shared_rows_come_as_the_data_set_has_them(dataset):
    task = sg.recipes.dml(make(), students=2, init=make)
    rows = [batch[0].flatten().long() for batch in sg.student_loader(dataset, task, batch_size=9)]
    assert all(len(batch) > 1 for batch in rows)
    assert sorted(torch.cat(rows).tolist()) == list(range(ROWS))
    assert all(len(batch) == 2 for batch in sg.student_loader(dataset, task, batch_size=9))


def test_mappings_get_an_entry(cgl):
    rows = [{"input": torch.tensor([float(row)]), "labels": row % 3} for row in range(ROWS)]
    batch = next(iter(sg.student_loader(rows, cgl, batch_size=4)))
    assert sorted(batch) == ["input", "labels", "owner"]
    assert [batch["owner"].count(student) for student in range(4)] == [4, 4, 4, 4]
    assert len(batch["owner"]) == len(batch["input"]) == 16


def test_batches_without_a_place_for_owners_are_refused(cgl):
    loader = sg.student_loader(list(torch.arange(ROWS).unsqueeze(1)), cgl, batch_size=4)
    with pytest.raises(ValueError, match="no place for the owners"):
        next(iter(loader))
