from pathlib import Path

import pytest

from helpers.small_run import small
from studygroup.training import Run, RunFolder, train


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Run:
    """A finished run with its baseline."""
    folder = tmp_path_factory.mktemp("run") / "cgl"
    return train(small(baseline=True), run_dir=folder, progress_bar=False)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")
