import pytest

from helpers.small_run import small
from studygroup.training import Run, train


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Run:
    """A finished run with its baseline."""
    folder = tmp_path_factory.mktemp("run") / "cgl"
    return train(small(baseline=True), run_dir=folder, progress_bar=False)
