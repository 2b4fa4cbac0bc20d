import sys

import pytest

from helpers.hostile import MARK


@pytest.fixture
def mark(tmp_path, monkeypatch):
    path = tmp_path / "mark"
    monkeypatch.setenv(MARK, str(path))
    sys.modules.pop("helpers.hostile_import", None)
    return path
