import pickle
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from studygroup.data.text import Pretrained, load_encoder

TEXTS = ["Good film", "", "what a BAD bad film", "good " * 9 + "film"]
IDS = [[1, 4, 6, 2], [1, 2], [1, 0, 0, 5, 5, 6, 2], [1, *[4] * 9, 6, 2]]


def test_ids_are_the_tokenizers_own(words):
    encoder = Pretrained(name=words())(["not", "looked", "at"])
    assert encoder(TEXTS) == IDS
    assert encoder(TEXTS) == AutoTokenizer.from_pretrained(words())(TEXTS)["input_ids"]
    assert (encoder.vocabulary, encoder.padding, encoder.length, encoder.full) == (7, 3, 512, False)
    assert encoder([]) == []
    assert encoder.decode([1, 4, 6, 2, 3, 3]) == "good film"


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_end_is_cut_and_special_tokens_stay(words, side):
    encoder = Pretrained(name=words(truncation_side=side), length=4)([])
    assert encoder(TEXTS) == [[1, 4, 6, 2], [1, 2], [1, 0, 0, 2], [1, 4, 4, 2]]


@pytest.mark.parametrize(("unknown", "row"), [("[UNK]", [0]), (None, [3])])
def test_no_row_is_empty(words, unknown, row):
    encoder = Pretrained(name=words(special=False, unknown=unknown))([])
    assert encoder(["", "good"]) == [row, [4]]


def test_added_tokens_count(words):
    tokenizer = AutoTokenizer.from_pretrained(words())
    tokenizer.add_tokens(["<br", "/>"])
    tokenizer.save_pretrained(name := words() + "+")
    encoder = Pretrained(name=name)([])
    assert encoder.vocabulary == 9
    assert encoder(["good <br /> film"]) == [[1, 4, 7, 8, 6, 2]]


def test_it_can_be_pickled_before_and_after_use(words):
    encoder = Pretrained(name=words(), length=5)([])
    before = pickle.dumps(encoder)
    ids = encoder(TEXTS)
    assert pickle.dumps(encoder) == before
    again = pickle.loads(before)
    assert again == encoder
    assert again(TEXTS) == ids
    assert again.fingerprint == encoder.fingerprint


def test_a_fingerprint_stands_for_the_ids(words):
    names = [words(), words("the same"), words("other", special=False)]
    prints = [Pretrained(name=name)([]).fingerprint for name in names]
    assert prints[0] == prints[1] != prints[2]
    assert Pretrained(name=names[0], length=9)([]).fingerprint != prints[0]


def test_hugging_face_reads_what_is_saved(words, tmp_path):
    encoder = Pretrained(name=words())([])
    encoder(TEXTS)
    encoder.save(tmp_path / "kept")
    assert AutoTokenizer.from_pretrained(str(tmp_path / "kept"))(TEXTS)["input_ids"] == IDS
    assert load_encoder(tmp_path / "kept")(TEXTS) == IDS


def test_the_first_folder_is_not_needed_any_more(words):
    name = words()
    encoder = Pretrained(name=name)([])
    for path in Path(name).iterdir():
        path.unlink()
    assert encoder(TEXTS) == IDS


def test_a_tokenizer_without_padding(words):
    with pytest.raises(ValueError, match=r"has no padding token.*set its `pad_token`"):
        Pretrained(name=words(pad=None))([])


def test_a_network_that_takes_less(words):
    name = words(model_max_length=128)
    assert Pretrained(name=name, length=128)([])(["good " * 500]) == [[1, *[4] * 126, 2]]
    with pytest.raises(
        ValueError, match="for at most 128 ids, and length is 129; give a length of 128 or less"
    ):
        Pretrained(name=name, length=129)([])


@pytest.mark.parametrize("length", [1, 2])
def test_special_tokens_leave_room_for_the_text(words, length):
    with pytest.raises(ValueError, match=rf"length is {length}, and .* adds 2 ids of its own"):
        Pretrained(name=words(), length=length)([])


def test_no_tokenizer_there(tmp_path):
    with pytest.raises(
        ValueError, match=r"no tokenizer can be loaded from .*; give a name on the Hugging Face hub"
    ):
        Pretrained(name=str(tmp_path / "nothing"))([])


def test_without_the_package(words, monkeypatch):
    name = words()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'studygroup\[text\]'"):
        Pretrained(name=name)([])
