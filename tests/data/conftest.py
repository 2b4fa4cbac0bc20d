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


@pytest.fixture(scope="session")
def shared():
    """Gives the folder of a public data set by its name, where it lies beside the repository."""

    def folder(name):
        path = SHARED / name
        if not path.is_dir():
            pytest.skip(f"the data set {name} is not beside the repository")
        return path

    return folder


@pytest.fixture
def cifar10_folder(shared):
    return shared("cifar10")
