import json

import pytest

from studygroup.data.text import Characters, Encoder, Pretrained, SentencePiece, Tokenizer, load_encoder

TEXTS = ["a good film", "a bad film", "the worst film of the year", ""]


@pytest.fixture(params=["characters", "pieces", "pretrained"])
def encoder(request, words):
    makers = {
        "characters": lambda: Characters(length=9, full=False),
        "pieces": lambda: SentencePiece(vocabulary=35, length=9),
        "pretrained": lambda: Pretrained(name=words(), length=9),
    }
    tokenizer = makers[request.param]()
    assert isinstance(tokenizer, Tokenizer)
    return tokenizer(TEXTS)


def properties(encoder):
    return [getattr(encoder, name) for name in ("vocabulary", "padding", "length", "full", "fingerprint")]


def test_the_folder_alone_gives_the_encoder_back(encoder, tmp_path):
    encoder.save(tmp_path / "new" / "folder")
    again = load_encoder(tmp_path / "new" / "folder")
    assert isinstance(again, Encoder)
    assert type(again) is type(encoder)
    assert properties(again) == properties(encoder)
    assert again(TEXTS) == encoder(TEXTS)
    again.save(str(tmp_path / "second"))
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "new" / "folder", tmp_path / "second")
    )
    assert first == second
    assert properties(load_encoder(str(tmp_path / "second"))) == properties(encoder)


def test_every_row_has_an_id_of_the_vocabulary(encoder):
    rows = encoder([*TEXTS, " ", "\n", "\u4e2d", "x" * 99])
    assert all(1 <= len(row) <= 9 for row in rows)
    assert all(0 <= number < encoder.vocabulary for row in rows for number in row)
    assert all(type(number) is int for row in rows for number in row)


def test_one_text_at_a_time_or_many(encoder):
    assert encoder(TEXTS) == [row for text in TEXTS for row in encoder([text])]


def test_what_is_written_says_what_it_is(encoder, tmp_path):
    encoder.save(tmp_path / "kept")
    about = json.loads((tmp_path / "kept" / "encoder.json").read_text())
    assert about["kind"] == type(encoder).__name__
    assert about["settings"]["length"] == 9
    assert about["fingerprint"] == encoder.fingerprint
    assert {*about["files"], "encoder.json"} == {path.name for path in (tmp_path / "kept").iterdir()}


def test_each_file_is_checked(encoder, tmp_path):
    encoder.save(tmp_path)
    files = json.loads((tmp_path / "encoder.json").read_text())["files"]
    for name in [*files, "encoder.json"]:
        whole = (tmp_path / name).read_bytes()
        for damaged in (
            whole[: len(whole) // 2],
            b"",
            b"\xff" + whole[1:],
            whole.replace(b"9", b"8", 1) + b" ",
        ):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(ValueError, match="copy the whole folder again"):
                load_encoder(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ValueError, match=rf"{name} is missing; give the folder"):
            load_encoder(tmp_path)
        (tmp_path / name).write_bytes(whole)
    assert load_encoder(tmp_path)(TEXTS) == encoder(TEXTS)


def test_writing_that_was_cut_short_leaves_nothing_that_can_be_read(tmp_path):
    first, second = (SentencePiece(vocabulary=size)(TEXTS) for size in (30, 35))
    first.save(tmp_path)
    second.save(tmp_path / "other")
    (tmp_path / "other" / "sentencepiece.model").replace(tmp_path / "sentencepiece.model")
    with pytest.raises(ValueError, match="is damaged: the sha256 sum"):
        load_encoder(tmp_path)
    second.save(tmp_path)
    assert load_encoder(tmp_path) == second


@pytest.mark.parametrize(
    "content",
    [
        '{"version": "1.0", "model": {"type": "BPE"}}',
        "[]",
        "3",
        '{"kind": "Characters", "settings": {}, "files": ["../secret"], "fingerprint": ""}',
        '{"kind": "Characters", "settings": {}, "files": [".."], "fingerprint": ""}',
        '{"kind": "Characters", "settings": {}, "files": [7], "fingerprint": ""}',
    ],
)
def test_a_foreign_file(tmp_path, content):
    (tmp_path / "secret").touch()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "encoder.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"encoder.json is not a tokenizer's .*; copy the whole folder again"
    ):
        load_encoder(tmp_path / "kept")


def test_a_kind_that_is_not_known(tmp_path):
    class Own(type(Characters()([]))):
        pass

    Own(alphabet="ab", length=3, full=True).save(tmp_path)
    with pytest.raises(
        ValueError, match=r"is a Own, not one of \['CharacterEncoder', .*; load it with the version"
    ):
        load_encoder(tmp_path)
