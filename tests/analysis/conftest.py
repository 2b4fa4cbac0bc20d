import functools

import pytest

from helpers.small_run import small
from studygroup.training import Run, methods, train


@pytest.fixture(scope="session")
def three(tmp_path_factory) -> Run:
    """A finished run of three students."""
    return train(small(), run_dir=tmp_path_factory.mktemp("three") / "cgl", progress_bar=False)


@pytest.fixture(scope="session")
def one(tmp_path_factory) -> Run:
    """A finished run of one student."""
    plain = small(recipe=functools.partial(methods.baseline), epochs=1)
    return train(plain, run_dir=tmp_path_factory.mktemp("one") / "plain", progress_bar=False)
