"""Shapes in the annotations are checked while the tests run, and only then; all other types are mypy's."""

from collections.abc import Iterator
from pathlib import Path

import datasets  # noqa: F401  (first imported under the hook, packages are compiled anew: 15 s)
import jaxtyping
import lightning.fabric  # noqa: F401
import pytest
import sklearn.datasets  # noqa: F401
import torch
import torchvision.transforms.v2  # noqa: F401
from jaxtyping import install_import_hook

import helpers.checked  # noqa: F401  (the hook imports `helpers` alone)

ROOT = Path(__file__).parents[1]


def with_shapes() -> Iterator[str]:
    """Yield the modules that state shapes; checked calls are slow, and all would make the suite twice as long."""
    for folder in (ROOT / "src" / "studygroup", ROOT / "reproduction"):
        for path in folder.rglob("*.py"):
            if "jaxtyping" in path.read_text(encoding="utf-8"):
                yield ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(
                    ".__init__"
                )


install_import_hook([*with_shapes()], "helpers.checked.typechecker")

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
