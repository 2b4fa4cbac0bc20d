import pytest

from helpers.small_run import small
from studygroup.training import Result, train


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Result:
    """A finished run with its baseline."""
    folder = tmp_path_factory.mktemp("run") / "cgl"
    return train(small(baseline=True), run_dir=folder, progress_bar=False)
