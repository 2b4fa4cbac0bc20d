import pytest

from studygroup.files import read_json, write_text


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
