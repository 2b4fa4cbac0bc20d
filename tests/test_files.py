import pytest

from studygroup.files import read_json, read_object, write_atomically, write_text


def test_a_file_being_written_is_not_taken_for_one_that_is_there(tmp_path):
    path = tmp_path / "file.json"
    write_text(path, "before")
    seen = []

    def write(temporary):
        temporary.write_text("half")
        seen.extend([*tmp_path.glob("*.json")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert seen == [path]
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_damaged_file_is_named_with_a_way_out(tmp_path):
    path = tmp_path / "inner" / "file.json"
    write_text(path, '{"rows": [1, 2]}')
    assert read_json(path, way_out="-") == {"rows": [1, 2]}
    for content in (b'{"rows": [1,', b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"file.json cannot be read \(.*\); remove it"):
            read_json(path, way_out="remove it")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_json(path, way_out="remove it")


def test_a_file_that_holds_something_else_is_named(tmp_path):
    path = tmp_path / "file.json"
    write_text(path, '{"rows": [1, 2]}')
    assert read_object(path, way_out="-", holds=("rows",)) == {"rows": [1, 2]}
    with pytest.raises(ValueError, match=r"file.json lacks rats, cats; remove it"):
        read_object(path, way_out="remove it", holds=("rats", "rows", "cats"))
    write_text(path, "[1]")
    with pytest.raises(ValueError, match=r"file.json holds a list, .*; remove it"):
        read_object(path, way_out="remove it")
