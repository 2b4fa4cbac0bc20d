import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentencepiece

from studygroup.data.text import CacheWarning, SentencePiece
from studygroup.data.text import cache as cache_module

TEXTS = ["the film was good, very good", "a bad film", "the worst film of the year 9/10", ""] * 3
ALL = {"vocabulary": 60, "coverage": 1.0}


@pytest.fixture
def trainings(monkeypatch):
    """Grows by one with each training."""
    calls = []
    train = sentencepiece.SentencePieceTrainer.train

    def counted(**options):
        calls.append(options)
        train(**options)

    monkeypatch.setattr(sentencepiece.SentencePieceTrainer, "train", counted)
    return calls


def kept_files(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_the_same_texts_are_learnt_from_once(trainings, cache):
    first = SentencePiece(**ALL)(TEXTS)
    again = SentencePiece(length=7, **ALL)(iter_anew(TEXTS))
    assert len(trainings) == 1
    assert again.model == first.model
    assert again.fingerprint != first.fingerprint  # another length, other ids
    assert len(kept_files(cache)) == 1


def iter_anew(texts):
    """The same texts out of another kind of thing, as of a file of another name."""
    return dict(enumerate(texts)).values()


@pytest.mark.parametrize(
    "other",
    [
        lambda texts: [texts[0].replace("good", "wood"), *texts[1:]],
        lambda texts: [*texts, ""],
        lambda texts: texts[:-1],
        lambda texts: [texts[1], texts[0], *texts[2:]],
        lambda texts: [texts[0][:-1], texts[0][-1] + texts[1], *texts[2:]],
    ],
    ids=["letter", "more", "fewer", "order", "border"],
)
def test_other_texts_are_learnt_from_anew(trainings, cache, other):
    SentencePiece(**ALL)(TEXTS)
    SentencePiece(**ALL)(other(TEXTS))
    assert len(trainings) == len(kept_files(cache)) == 2


@pytest.mark.parametrize("setting", [{"vocabulary": 61}, {"coverage": 0.9999}, {"sample": 11}])
def test_other_settings_are_learnt_with_anew(trainings, setting):
    SentencePiece(**ALL)(TEXTS)
    SentencePiece(**ALL | setting)(TEXTS)
    assert len(trainings) == 2


def test_another_version_of_the_library_learns_anew(trainings, monkeypatch):
    first = SentencePiece(**ALL)(TEXTS)
    monkeypatch.setattr(sentencepiece, "__version__", "9.9")
    assert SentencePiece(**ALL)(TEXTS).model == first.model
    assert len(trainings) == 2


def test_learning_is_repeatable(trainings, monkeypatch, tmp_path):
    first = SentencePiece(**ALL)(TEXTS)
    monkeypatch.setenv("STUDYGROUP_CACHE", str(tmp_path / "another"))
    assert SentencePiece(**ALL)(TEXTS) == first
    assert len(trainings) == 2


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole[:-1] + b"x"]
)
def test_a_damaged_file_is_made_anew(trainings, cache, damage):
    first = SentencePiece(**ALL)(TEXTS)
    (path,) = (cache / name for name in kept_files(cache))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(CacheWarning, match="is damaged and is made anew"):
        assert SentencePiece(**ALL)(TEXTS) == first
    assert SentencePiece(**ALL)(TEXTS) == first
    assert len(trainings) == 2


def test_where_nothing_can_be_kept(trainings, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STUDYGROUP_CACHE", str(tmp_path / "file" / "folder"))
    for _ in range(2):
        with pytest.warns(CacheWarning, match="cannot be kept .* STUDYGROUP_CACHE"):
            encoder = SentencePiece(**ALL)(TEXTS)
    assert encoder.vocabulary == 60
    assert len(trainings) == 2


def test_a_disk_that_is_full(trainings, monkeypatch, cache):
    def full(source):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(CacheWarning, match="No space left on device"):
        assert SentencePiece(**ALL)(TEXTS).vocabulary == 60
    assert kept_files(cache) == []


def test_texts_that_cannot_be_read_are_not_taken_for_a_bad_cache(trainings):
    class Broken:
        def __iter__(self):
            if trainings:
                raise OSError("the table is gone")
            return iter([*TEXTS])

    with pytest.raises(OSError, match="the table is gone"):
        SentencePiece(**ALL)(Broken())
    assert len(trainings) == 1


def test_two_at_once_learn_once(monkeypatch, trainings):
    """Neither begins before the other has found nothing either."""
    found, both, seen = cache_module._read, threading.Barrier(2), threading.local()

    def read(path):
        there = found(path)
        if not hasattr(seen, "once"):
            seen.once = both.wait(60)
        return there

    monkeypatch.setattr(cache_module, "_read", read)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: SentencePiece(**ALL)(TEXTS), range(2))
    assert first == second
    assert len(trainings) == 1
