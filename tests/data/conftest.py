"""Where tables are cached, and where the public data sets lie if they are there."""

from pathlib import Path

import datasets
import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Converted tables go to a temporary folder, not to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("tables"))
        datasets.disable_progress_bars()
        yield


@pytest.fixture
def cifar10_folder():
    folder = SHARED / "cifar10"
    if not folder.is_dir():
        pytest.skip("the CIFAR-10 Parquet files are not beside the repository")
    return folder
