import multiprocessing
import pickle
import random

import numpy as np
import pytest
import torch

from helpers.text_rows import WordLengths, text_split
from studygroup.data import SharedBatches, loader
from studygroup.data.splits import Split, relabelled
from studygroup.data.sums import CacheWarning
from studygroup.data.text import encoded, filled
from studygroup.data.text.cache import cache_folder

TEXTS = ["a bb", "ccc", "d ee fff gggg", "", "a b c d e f g h i"]
IDS = [[1, 2], [3], [1, 2, 3, 4], [0], [1] * 6]


def random_texts(count, *, seed=0):
    rng = random.Random(seed)
    return [" ".join("x" * rng.randint(1, 40) for _ in range(rng.randint(1, 9))) for _ in range(count)]


def files():
    return sorted(path.name for path in (cache_folder() / "tokens").glob("*.arrow"))


def by_hand(rows, width, padding=0):
    """Ids and mask, one token after another."""
    ids = [[row[i] if i < len(row) else padding for i in range(width)] for row in rows]
    mask = [[int(i < len(row)) for i in range(width)] for row in rows]
    return ids, mask


@pytest.mark.parametrize(
    ("rows", "width"), [([0, 1], 2), ([2, 0, 3, 2], 4), ([4, 1], 6), ([3], 1), ([0, 1, 2, 3, 4], 6)]
)
def test_a_batch_is_as_wide_as_its_longest_row(rows, width):
    batch, labels = encoded(text_split(TEXTS), WordLengths())[torch.tensor(rows)]
    ids, mask = by_hand([IDS[row] for row in rows], width)
    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == mask
    assert labels.tolist() == [row % 3 for row in rows]
    assert {tensor.dtype for tensor in (*batch.values(), labels)} == {torch.int64}


def test_full_batches():
    split = encoded(text_split(TEXTS), WordLengths(length=8, full=True))
    batch, _ = split[torch.tensor([1, 0])]
    assert batch["input_ids"].tolist() == [[3] + [0] * 7, [1, 2] + [0] * 6]
    assert batch["attention_mask"].sum(1).tolist() == [1, 2]
    assert split.lengths is None  # nothing is gained by putting rows of like length together
    assert split.tokens.tolist() == [2, 1, 4, 1, 8]


def test_padding_is_the_encoders():
    class Nine(WordLengths):
        padding = 9

    batch, _ = encoded(text_split(TEXTS), Nine())[torch.tensor([1, 0])]
    assert batch["input_ids"].tolist() == [[3, 9], [1, 2]]


def test_lengths_and_rows():
    split = encoded(text_split(TEXTS), WordLengths())
    assert isinstance(split, Split)
    assert split.lengths.tolist() == [2, 1, 4, 1, 6]
    assert split.lengths.dtype == torch.int32
    part = split.take(torch.tensor([4, 2, 0])).take(torch.tensor([1, 2]))
    assert part.lengths.tolist() == [4, 2]
    assert part.labels.tolist() == [2, 0]
    assert part[torch.tensor([1, 0])][0]["input_ids"].tolist() == [[1, 2, 0, 0], [1, 2, 3, 4]]


def test_every_row_of_many_against_a_plain_loop():
    texts = random_texts(2500)
    encoder = WordLengths(length=7)
    split = encoded(text_split(texts).take(torch.arange(2499, -1, -1)), encoder)
    order = torch.randperm(2500, generator=torch.Generator().manual_seed(1))
    for rows in order.split(64):
        expected = encoder([texts[2499 - row] for row in rows])
        batch, labels = split[rows]
        ids, mask = by_hand(expected, max(map(len, expected)))
        assert batch["input_ids"].tolist() == ids
        assert batch["attention_mask"].tolist() == mask
        assert labels.tolist() == [(2499 - int(row)) % 3 for row in rows]
    assert encoder.calls[:3] == [1024, 1024, 452]  # never all texts at once


def test_no_rows():
    split = encoded(text_split(TEXTS).take(torch.arange(0)), WordLengths())
    assert len(split) == 0
    for none in (split, encoded(text_split(TEXTS), WordLengths())):
        batch, labels = none[torch.arange(0)]
        assert batch["input_ids"].shape == batch["attention_mask"].shape == (0, 0)
        assert len(labels) == 0


@pytest.mark.parametrize(
    ("vocabulary", "kind"), [(256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "int32")]
)
def test_ids_take_the_smallest_type(vocabulary, kind):
    class Largest(WordLengths):
        def __call__(self, texts):
            return [[self.vocabulary - 1]] * len(texts)

    split = encoded(text_split(TEXTS), Largest(vocabulary=vocabulary))
    assert split.table.features["input_ids"].feature.dtype == kind
    assert split[torch.tensor([1])][0]["input_ids"].tolist() == [[vocabulary - 1]]


def test_the_same_content_is_tokenised_once_whatever_its_name():
    encoder = WordLengths()
    encoded(text_split(TEXTS), encoder)
    again = encoded(text_split(["z", *TEXTS], name="other").take(torch.arange(1, 6)), encoder)
    assert encoder.calls == [5]
    assert again[torch.tensor([0])][0]["input_ids"].tolist() == [[1, 2]]
    assert again.labels.tolist() == [1, 2, 0, 1, 2]  # labels are no part of the content
    assert len(files()) == 1


@pytest.mark.parametrize(
    "texts",
    [[*TEXTS[:4], "b"], TEXTS[::-1], TEXTS[:4], ["a", " bb", *TEXTS[1:]], ["a bbc", "cc", *TEXTS[2:]]],
)
def test_other_texts_make_another_file(texts):
    encoder = WordLengths()
    encoded(text_split(TEXTS), encoder)
    encoded(text_split(texts), encoder)
    assert len(encoder.calls) == len(files()) == 2


def test_another_tokenizer_makes_another_file():
    encoded(text_split(TEXTS), WordLengths())
    second = WordLengths(name="others")
    encoded(text_split(TEXTS), second)
    assert second.calls == [5]
    assert len(files()) == 2


def test_an_interrupted_run_leaves_no_file():
    class Interrupted(WordLengths):
        def __call__(self, texts):
            if self.calls:
                raise KeyboardInterrupt
            return super().__call__(texts)

    with pytest.raises(KeyboardInterrupt):
        encoded(text_split(random_texts(1500)), Interrupted())
    assert files() == []
    assert len(encoded(text_split(random_texts(1500)), WordLengths())) == 1500


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"made up, row 1029: the tokenizer made 0 ids of the text; it may give 1 to 6"),
        ([1] * 7, r"made up, row 1029: the tokenizer made 7 ids"),
    ],
)
def test_rows_that_no_encoder_may_give(ids, message):
    class Wrong(WordLengths):
        def __call__(self, texts):
            return [ids if text == "wrong" else [1] for text in texts]

    texts = ["right"] * 1100
    texts[1029] = "wrong"
    with pytest.raises(ValueError, match=message):
        encoded(text_split(texts).take(torch.arange(2, 1100)), Wrong())


def test_an_encoder_that_loses_texts():
    class Short(WordLengths):
        def __call__(self, texts):
            return super().__call__(texts)[1:]

    with pytest.raises(ValueError, match=r"made 4 rows of 5 texts"):
        encoded(text_split(TEXTS), Short())


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STUDYGROUP_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot write .*file/tokens.* another folder in STUDYGROUP_CACHE"):
        encoded(text_split(TEXTS), WordLengths())


def test_a_damaged_file_is_made_anew():
    encoded(text_split(TEXTS), WordLengths())
    path = cache_folder() / "tokens" / files()[0]
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.warns(CacheWarning, match=r"\.arrow is damaged and is made anew"):
        encoded(text_split(TEXTS), WordLengths())
    assert path.read_bytes() == content


@pytest.mark.parametrize("full", [False, True])
def test_filling_up_what_an_encoder_gave(full):
    encoder = WordLengths(full=full)
    batch = filled(encoder(TEXTS[:3]), encoder)
    ids, mask = by_hand(IDS[:3], 6 if full else 4)
    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == mask


def test_a_pickled_split_maps_the_file_again():
    split = encoded(text_split(random_texts(3000)), WordLengths())
    small = pickle.dumps(split.take(torch.arange(10)))
    assert len(small) < 20_000  # no ids among it
    assert np.array_equal(
        pickle.loads(small)[torch.tensor([3, 1])][0]["input_ids"],
        split[torch.tensor([3, 1])][0]["input_ids"],
    )


@pytest.mark.slow
def test_a_process_that_was_spawned_reads_the_same():
    split = encoded(text_split(random_texts(300)), WordLengths())
    rows = torch.tensor([7, 250, 3])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        batch, labels = pool.apply(split.__getitem__, (rows,))
    assert torch.equal(batch["input_ids"], split[rows][0]["input_ids"])
    assert torch.equal(labels, rows % 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_through_the_loader_under_other_labels(workers):
    split = encoded(text_split(random_texts(300)), WordLengths())
    other = relabelled(split, (split.labels + 1) % 3)
    steps = SharedBatches(300, batch_size=50, seed=3, lengths=other.lengths)
    seen = 0
    for draw, batch in zip(steps, loader(other, steps, workers=workers), strict=True):
        assert torch.equal(batch.inputs["attention_mask"].sum(1), split.tokens[draw.rows].long())
        assert torch.equal(batch.labels, (draw.rows + 1) % 3)
        seen += len(batch.labels)
    assert seen == 300
