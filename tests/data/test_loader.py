import lightning
import pytest
import torch
from torch.utils.data import SequentialSampler

from helpers.made_up import table
from studygroup.data import (
    Batch,
    MemorySplit,
    SharedBatches,
    StudentBatches,
    SymmetricNoise,
    TrueLabels,
    load,
    loader,
    subsets,
)


@pytest.fixture
def splits(tmp_path):
    """The same 40 rows in memory and in a memory map."""
    table([0, 1] * 20).to_parquet(tmp_path / "train.parquet")
    table([0, 1], start=99).to_parquet(tmp_path / "test.parquet")
    return [load(tmp_path, holdout=0, in_memory_bytes=limit).train for limit in (2**20, 0)]


def numbered(rows):
    """Images that show their row number."""
    images = torch.arange(rows, dtype=torch.uint8).view(rows, 1, 1, 1).expand(rows, 1, 2, 2)
    return MemorySplit(images.contiguous(), torch.arange(rows) % 3)


def test_a_batch_is_the_samplers_draw():
    split, sampler = numbered(20), StudentBatches(subsets(20, 3), batch_size=2)
    for batch, (indices, owner, _) in zip(loader(split, sampler), sampler, strict=True):
        assert isinstance(batch, Batch)
        assert torch.equal(batch.inputs[:, 0, 0, 0].long(), indices)
        assert torch.equal(batch.labels, indices % 3)
        assert torch.equal(batch.owner, owner)


def test_shared_batches_have_no_owner():
    batches = list(loader(numbered(10), SharedBatches(10, batch_size=4)))
    assert [batch.owner for batch in batches] == [None] * 3
    assert [len(batch.inputs) for batch in batches] == [4, 4, 2]


def test_batches_are_the_same_for_any_number_of_workers_and_any_storage(splits):
    def epochs(split, workers):
        sampler = StudentBatches(subsets(40, 3), batch_size=4, seed=1)
        batches = loader(split, sampler, workers=workers)
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            yield from batches

    kept, mapped = splits
    expected = list(epochs(kept, 0))
    assert len(expected) == 8
    for split, workers in ((mapped, 0), (mapped, 2), (kept, 1)):
        for found, wanted in zip(epochs(split, workers), expected, strict=True):
            assert all(map(torch.equal, found, wanted))


SAMPLERS = {
    "shared": lambda: SharedBatches(40, batch_size=4, seed=1),
    "own": lambda: StudentBatches(subsets(40, 3), batch_size=2, seed=1),
}


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_iterator_made_before_the_epoch_is_set_gives_that_epoch(kind, workers):
    """As Lightning does when a run is resumed; noisy labels follow, and so does an iterator that is left halfway."""
    labels = SymmetricNoise(rate=0.5)(
        TrueLabels(torch.arange(40) % 3, torch.arange(40), 40, tuple("abc")), seed=2
    )
    batches = loader(numbered(40), SAMPLERS[kind](), labels=labels, workers=workers)

    def check(made, epoch, *, first=0, most=None):
        sampler = SAMPLERS[kind]()
        sampler.set_epoch(epoch)
        wanted = list(sampler)[first:most]
        found = [next(made) for _ in wanted]
        assert [batch.inputs[:, 0, 0, 0].tolist() for batch in found] == [
            draw.rows.tolist() for draw in wanted
        ]
        for batch, draw in zip(found, wanted, strict=True):
            assert torch.equal(batch.labels, labels(epoch)[draw.rows])

    made = iter(batches)
    batches.sampler.set_epoch(3)
    check(made, 3)
    assert next(made, None) is None
    batches.sampler.set_epoch(4)
    check(iter(batches), 4, most=3)
    made = iter(batches)
    batches.sampler.resume(epoch=5, step=2)
    check(made, 5, first=2)
    assert not torch.equal(labels(3), labels(4))


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    list(loader(numbered(10), SharedBatches(10, batch_size=4)))
    assert torch.equal(torch.get_rng_state(), before)


class Recorder(lightning.LightningModule):
    """Learns nothing, notes which rows it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = {}

    def training_step(self, batch, index):
        self.seen.setdefault(self.current_epoch, []).append(batch.inputs[:, 0, 0, 0].tolist())
        return self.weight * 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, epochs):
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # from inside Lightning
@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_tells_the_sampler_its_epoch(tmp_path, workers):
    def fresh():
        return StudentBatches(subsets(20, 3), batch_size=2, seed=1)

    def expected(epoch):
        sampler = fresh()
        sampler.set_epoch(epoch)
        return [indices.tolist() for indices, _, _ in sampler]

    module, batches = Recorder(), loader(numbered(20), fresh(), workers=workers)
    run = trainer(tmp_path, 3)
    run.fit(module, batches)
    assert run.train_dataloader.sampler is batches.sampler
    assert not isinstance(batches.sampler, SequentialSampler)
    assert module.seen == {epoch: expected(epoch) for epoch in range(3)}

    run.save_checkpoint(tmp_path / "last.ckpt")
    resumed = Recorder()
    trainer(tmp_path, 5).fit(
        resumed, loader(numbered(20), fresh(), workers=workers), ckpt_path=tmp_path / "last.ckpt"
    )
    assert resumed.seen == {epoch: expected(epoch) for epoch in (3, 4)}
