import pytest

from reproduction.lab import Lab
from reproduction.scale import FULL, SMALL


@pytest.fixture
def full(tmp_path):
    return Lab(run_dir=tmp_path, scale=FULL, data={"imagenet32": "data/imagenet32", "stl10": "data/stl10"})


@pytest.fixture
def small(tmp_path):
    return Lab(run_dir=tmp_path, scale=SMALL)
