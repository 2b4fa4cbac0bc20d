import pickle
import sys

import pyarrow.parquet
import pytest
import torch

from studygroup.data.text import SentencePiece, SmallVocabularyWarning

TEXTS = [
    "The film was  good, very\tgood <br /><br />9/10 \N{GRINNING FACE}",
    "a bad film: the worst\nof the year\r\n\r\nreally ",
    "  the acting was good but the plot was bad",
    "",
    "caf\u00e9 \u0130stanbul, \u00c9t\u00e9 at the caf\u00e9",
] * 3
ALL = {"vocabulary": 80, "coverage": 1.0}


def test_the_settings_of_the_paper():
    settings = SentencePiece()
    assert (settings.vocabulary, settings.length) == (16_000, 512)


def test_lower_cased_texts_come_back_as_they_were():
    encoder = SentencePiece(**ALL)(TEXTS)
    rows = encoder(TEXTS)
    assert [encoder.decode([*row, 0, 0]) for row in rows if row != [1]] == [
        text.lower() for text in TEXTS if text
    ]
    assert (encoder.vocabulary, encoder.padding, encoder.full) == (80, 0, False)
    numbers = {number for row in rows for number in row if row != [1]}
    assert min(numbers) > 1  # neither padding nor unknown
    assert max(numbers) < 80
    assert encoder(["GOOD  Film"]) == encoder(["good  film"]) != encoder(["good film"])


def test_a_word_is_one_piece_wherever_it_stands():
    good, before, after = SentencePiece(**ALL)(TEXTS)(["good", "the good", "good the"])
    assert len(good) == 1
    assert before[-1:] == after[:1] == good


def test_empty_texts_and_none():
    encoder = SentencePiece(**ALL)(TEXTS)
    assert encoder(["", "good"])[0] == [1]
    assert encoder([]) == []


def test_strange_characters_are_one_unknown_piece():
    encoder = SentencePiece(**ALL)(TEXTS)
    (row,) = encoder(["good\u4e2d\u6587"])
    assert row == [*encoder(["good"])[0], 1]
    assert encoder(["a\ud800\udcffb"]) == encoder(["a??b"])  # bytes that are no text in a file name


def test_what_looks_like_a_special_piece_is_text():
    text = "<pad> <unk> <s> </s>"
    encoder = SentencePiece(vocabulary=34, coverage=1.0)([text + " skpadun<>/"] * 5)
    (row,) = encoder([text])
    assert min(row) > 1
    assert encoder.decode(row) == text


def test_the_end_is_cut():
    short, long = (SentencePiece(length=length, **ALL)(TEXTS) for length in (3, 512))
    assert short(TEXTS) == [row[:3] for row in long(TEXTS)]
    assert short.length == max(map(len, short(TEXTS))) == 3


@pytest.mark.parametrize(
    "text",
    [
        "filler\n" * 3 + "quokka",
        "filler\r\nquokka",
        "filler\0quokka",
        "filler \u2585 quokka",
        "filler " * 20_000 + "quokka",
    ],
    ids=["lines", "windows lines", "null", "reserved", "long"],
)
@pytest.mark.filterwarnings("ignore::studygroup.data.text.SmallVocabularyWarning")
def test_no_training_text_is_left_out(text):
    """Each holds something that SentencePiece stumbles over or drops; nothing else has a q or a k."""
    encoder = SentencePiece(vocabulary=100, coverage=1.0)(["a good film", text])
    (row,) = encoder(["quokka"])
    assert 1 not in row
    assert encoder.decode(row) == "quokka"


def test_rare_characters_are_unknown():
    texts = ["abab" * 50] * 60 + ["z"]
    with pytest.warns(SmallVocabularyWarning):
        encoders = [SentencePiece(coverage=coverage)(texts) for coverage in (0.999, 1.0)]
    assert [encoder(["z"])[0][-1] == 1 for encoder in encoders] == [True, False]


def test_texts_to_learn_from_are_evenly_spaced():
    texts = [letter * 8 for letter in "abcdefghij"]
    with pytest.warns(SmallVocabularyWarning):
        encoder = SentencePiece(sample=4, coverage=1.0)(texts)
    assert [letter for letter in "abcdefghij" if 1 not in encoder([letter])[0]] == ["a", "d", "f", "i"]


def test_a_small_set_gives_a_smaller_vocabulary():
    with pytest.warns(
        SmallVocabularyWarning, match=r"2 texts have \d+ different pieces, where vocabulary=16000"
    ):
        encoder = SentencePiece(coverage=1.0)(["one film", "two films"])
    assert 12 < encoder.vocabulary < 40
    SentencePiece(vocabulary=encoder.vocabulary, coverage=1.0)(["one film", "two films"])  # and says nothing


def test_training_is_quiet(capfd):
    with pytest.warns(SmallVocabularyWarning):
        SentencePiece()(["one film", "two films"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "texts", "said"),
    [
        ({"vocabulary": 8}, ["abcdefghij"], "cannot learn 8 pieces from 1 texts"),
        ({}, ["", ""], "cannot learn 16000 pieces from 2 texts"),
        ({}, [], "cannot learn 16000 pieces from 0 texts"),
        ({}, (text for text in TEXTS), "the texts are a generator, gone after one reading; give a list"),
        ({"coverage": 0.5}, TEXTS, r"coverage is 0.5; give a share of the characters in \[0.98, 1.0\]"),
        ({"sample": 0}, TEXTS, "sample is 0; give how many texts"),
        ({"length": 0}, TEXTS, "length is 0; give how many ids"),
    ],
)
def test_what_cannot_be_learnt(settings, texts, said):
    with pytest.raises(ValueError, match=said):
        SentencePiece(**settings)(texts)


def test_without_the_package(monkeypatch):
    encoder = SentencePiece(**ALL)(TEXTS)
    fresh = pickle.loads(pickle.dumps(encoder))
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    for use in (lambda: SentencePiece()(TEXTS), lambda: fresh(["a text"])):
        with pytest.raises(ValueError, match=r"pip install 'studygroup\[text\]'"):
            use()


def test_it_can_be_pickled():
    encoder = SentencePiece(**ALL)(TEXTS)
    before = len(pickle.dumps(encoder))
    ids = encoder(TEXTS)
    again = pickle.loads(pickle.dumps(encoder))
    assert again == encoder
    assert again(TEXTS) == ids
    assert len(pickle.dumps(encoder)) == before < len(encoder.model) + 200


def test_as_many_threads_as_torch_has(monkeypatch):
    encoder = SentencePiece(**ALL)(TEXTS)
    one = encoder(TEXTS)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert encoder(TEXTS) == one


def test_real_reviews(shared):
    texts = pyarrow.parquet.read_table(shared("imdb") / "train.parquet")["text"].to_pylist()
    learnt, others = texts[::50], texts[1::50]  # sorted by label
    encoder = SentencePiece(vocabulary=2000)(learnt)
    assert encoder.vocabulary == 2000
    rows = encoder(others)
    assert len(learnt) == len(rows) == 500
    assert max(map(len, rows)) == 512
    pieces, unknown = sum(map(len, rows)), sum(row.count(1) for row in rows)
    assert 0 < unknown < 0.002 * pieces
    whole = [(row, text) for row, text in zip(rows, others, strict=True) if len(row) < 512 and 1 not in row]
    assert len(whole) > 350
    assert all(encoder.decode(row) == text.lower() for row, text in whole)
    assert (
        3 < sum(len(text) for _, text in whole) / sum(len(row) for row, _ in whole) < 5
    )  # characters a piece
    assert 1 not in encoder(["6/10 <br /><br />0123456789"])[0]
