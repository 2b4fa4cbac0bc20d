"""Shapes and types in the annotations are checked while the tests run, and only then."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("studygroup", "checked.typechecker")

torch.set_num_threads(1)  # the tests' networks are tiny: more threads only wait for each other


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is left in, or taken from, the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDYGROUP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Types unchecked, as users run the library: what it says itself of a wrong value."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
