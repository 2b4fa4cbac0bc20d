import math
from collections import Counter

import pytest
import torch

from helpers.made_up import table
from studygroup.data import (
    ArrowSplit,
    MemorySplit,
    Relabelled,
    SharedBatches,
    StudentBatches,
    SymmetricNoise,
    TrueLabels,
    clean,
    load,
    loader,
    subsets,
)


def truth(rows, classes=10):
    return TrueLabels(
        labels=torch.arange(rows) % classes,
        rows=torch.arange(rows),
        published=rows,
        classes=tuple(map(str, range(classes))),
    )


def changed(labels, true):
    return {row for row in range(len(true)) if labels[row] != true[row]}


def test_clean_labels_are_the_true_ones():
    true = truth(20)
    assert clean(true, seed=3)(7) is true.labels


@pytest.mark.parametrize(("rate", "rows", "noisy"), [(0, 50, 0), (0.3, 50, 15), (0.25, 10, 2), (1.0, 50, 50)])
def test_so_many_rows_are_noisy_in_every_epoch_and_always_the_same(rate, rows, noisy):
    true = truth(rows)
    labels = SymmetricNoise(rate=rate)(true, seed=1)
    ever = set().union(*(changed(labels(epoch), true.labels) for epoch in range(60)))
    assert len(ever) == noisy  # a row keeps its label 60 times with probability 1e-60


def test_labels_are_uniform_over_all_classes_the_true_one_included():
    true = truth(5000)
    labels = SymmetricNoise(rate=1.0)(true, seed=2)(0)
    for label in range(10):
        drawn = Counter(labels[true.labels == label].tolist())
        # 500 draws: mean 50, deviation 6.7
        assert [drawn[c] for c in range(10)] == pytest.approx([50] * 10, abs=5 * 6.7)
    half = SymmetricNoise(rate=0.5)(true, seed=2)
    wrong = [len(changed(half(epoch), true.labels)) for epoch in range(20)]
    assert sum(wrong) / 20 == pytest.approx(2500 * 0.9, abs=5 * math.sqrt(2500 * 0.09 / 20))


def test_labels_follow_from_seed_and_epoch_alone():
    noise, true = SymmetricNoise(rate=0.5), truth(100)
    labels = noise(true, seed=4)
    first, second = labels(0), labels(1)
    assert changed(first, second)
    assert torch.equal(labels(0), first)  # going back
    assert torch.equal(noise(true, seed=4)(1), second)  # beginning there
    assert changed(noise(true, seed=5)(0), first)
    assert torch.equal(true.labels, truth(100).labels)
    rows = [
        set().union(*(changed(noise(true, seed=seed)(e), true.labels) for e in range(20))) for seed in (4, 5)
    ]
    assert rows[0] != rows[1]  # the seed decides which rows are noisy, too


def test_fixed_noise_is_drawn_once():
    true = truth(100)
    labels = SymmetricNoise(rate=0.5, redraw=False)(true, seed=4)
    assert torch.equal(labels(0), labels(9))
    assert torch.equal(labels(0), SymmetricNoise(rate=0.5)(true, seed=4)(0))
    assert changed(labels(0), true.labels)


def test_rows_of_a_lower_rate_have_the_same_labels_at_a_higher_one():
    true = truth(300)
    low, high = (SymmetricNoise(rate=rate)(true, seed=6)(2) for rate in (0.1, 0.5))
    rows = changed(low, true.labels)
    assert 20 < len(rows) <= 30
    assert all(low[row] == high[row] for row in rows)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValueError, match=r"noise rate is .* in \[0, 1\]"):
        SymmetricNoise(rate=rate)(truth(10), seed=0)


def everything(split):
    return split[torch.arange(len(split))]


def test_noise_changes_labels_of_training_and_holdout_alone():
    plain = load("digits", seed=3)
    noisy = load("digits", seed=3, noise=SymmetricNoise(rate=0.5))
    for name in ("train", "holdout", "test"):
        assert torch.equal(everything(getattr(plain, name))[0], everything(getattr(noisy, name))[0])
    assert torch.equal(noisy.train.labels, plain.train.labels)
    assert torch.equal(noisy.test.labels, plain.test.labels)
    assert torch.equal(plain.training_labels(5), plain.train.labels)
    assert torch.equal(noisy.holdout_truth.labels, plain.holdout.labels)
    for count, labels, true in (
        (1347, noisy.training_labels(0), plain.train.labels),
        (150, noisy.holdout.labels, plain.holdout.labels),
    ):
        wrong = len(changed(labels, true))
        assert wrong <= round(0.5 * count)
        assert wrong == pytest.approx(0.45 * count, abs=5 * math.sqrt(count * 0.5 * 0.09))
    assert torch.equal(everything(noisy.holdout)[1], noisy.holdout.labels)
    assert isinstance(plain.holdout, MemorySplit)


def test_the_holdout_can_stay_clean():
    plain, noisy = (
        load("digits", seed=3, noise=noise, holdout_noise=False)
        for noise in (clean, SymmetricNoise(rate=0.5))
    )
    assert torch.equal(noisy.holdout.labels, plain.holdout.labels)
    assert changed(noisy.training_labels(0), plain.train.labels)


def test_training_and_holdout_are_drawn_apart():
    noisy = load("digits", holdout=0.5, noise=SymmetricNoise(rate=1.0))
    assert len(noisy.train) == len(noisy.holdout) + 1
    assert changed(noisy.training_labels(0)[:-1], noisy.holdout.labels)


def test_rows_are_numbers_of_the_published_training_set(tmp_path):
    table([0, 1, 0] * 20).to_parquet(tmp_path / "train.parquet")
    table([0, 1] * 6).to_parquet(tmp_path / "test.parquet")
    whole = everything(load(tmp_path, holdout=0).train)[0]
    part = load(tmp_path, train_rows=24, holdout=6, seed=2)
    for split, true in ((part.train, part.train_truth), (part.holdout, part.holdout_truth)):
        assert torch.equal(everything(split)[0], whole[true.rows])
        assert torch.equal(split.labels, true.labels)
        assert true.published == 60
    rows = torch.cat([part.train_truth.rows, part.holdout_truth.rows])
    assert len(rows.unique()) == 24


@pytest.mark.filterwarnings("ignore::studygroup.data.NoTestSplitWarning")
def test_rows_are_so_numbered_where_the_test_rows_are_cut_from_them(tmp_path):
    whole = table([0, 1, 0] * 20)
    whole.to_parquet(tmp_path / "pets.parquet")
    data = load(tmp_path, holdout=6)
    images = load(tmp_path, holdout=0)
    assert data.train_truth.published == 60
    assert [whole["label"][row] for row in data.train_truth.rows.tolist()] == data.train.labels.tolist()
    places = [images.train_truth.rows.tolist().index(row) for row in data.train_truth.rows.tolist()]
    assert torch.equal(everything(data.train)[0], everything(images.train)[0][places])


@pytest.fixture
def noisy(tmp_path):
    """The same 40 noisy rows in memory and in a memory map."""
    table([0, 1] * 20).to_parquet(tmp_path / "train.parquet")
    table([0, 1], start=99).to_parquet(tmp_path / "test.parquet")
    noise = SymmetricNoise(rate=0.5)
    return [load(tmp_path, holdout=10, noise=noise, in_memory_bytes=limit) for limit in (2**20, 0)]


def test_batches_have_the_epochs_labels_with_any_workers_and_storage(noisy):
    kept, mapped = noisy
    assert isinstance(kept.train, MemorySplit)
    assert isinstance(mapped.train, ArrowSplit)
    assert isinstance(mapped.holdout, Relabelled)
    assert torch.equal(kept.holdout.labels, mapped.holdout.labels)
    assert all(map(torch.equal, everything(kept.holdout), everything(mapped.holdout)))
    for data, workers in ((kept, 0), (mapped, 0), (mapped, 2), (kept, 1)):
        sampler = StudentBatches(subsets(30, 3), batch_size=4, seed=1)
        batches = loader(data.train, sampler, labels=data.training_labels, workers=workers)
        for epoch in (0, 1, 0):
            sampler.set_epoch(epoch)
            expected = kept.training_labels(epoch)
            for batch, draw in zip(batches, sampler, strict=True):
                assert draw.epoch == epoch
                assert torch.equal(batch.labels, expected[draw.rows])
                assert torch.equal(batch.inputs, kept.train[draw.rows][0])
    assert changed(kept.training_labels(0), kept.training_labels(1))


def test_a_loader_resumed_inside_an_epoch_goes_on_with_its_labels(noisy):
    data = noisy[0]

    def labels(resumed):
        sampler = SharedBatches(30, batch_size=4, seed=1)
        if resumed:
            sampler.resume(epoch=3, step=2)
        sampler.set_epoch(3)
        return [batch.labels.tolist() for batch in loader(data.train, sampler, labels=data.training_labels)]

    assert labels(resumed=True) == labels(resumed=False)[2:]


def test_without_noise_a_loader_gives_the_splits_own_labels(noisy):
    data = noisy[0]
    batches = loader(data.holdout, SharedBatches(10, batch_size=10, shuffle=False))
    assert torch.equal(next(iter(batches)).labels, data.holdout.labels)


def test_a_view_with_other_labels():
    split = MemorySplit(
        torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1), torch.zeros(5, dtype=torch.int64)
    )
    view = Relabelled(split, torch.arange(5))
    assert view.lengths is split.lengths is None
    assert view.split is split
    images, labels = view[torch.tensor([3, 1])]
    assert (images.flatten().tolist(), labels.tolist()) == ([3, 1], [3, 1])
    part = view.take(torch.tensor([4, 2]))
    assert len(part) == 2
    assert part[torch.tensor([1])][1].tolist() == [2]
    assert split.labels.tolist() == [0] * 5
    with pytest.raises(ValueError, match="4 labels for 5 rows"):
        Relabelled(split, torch.arange(4))
