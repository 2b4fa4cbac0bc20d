"""Error messages for optional packages that are not installed."""

import importlib
from types import ModuleType

_EXTRAS = {
    "train": "PIL datasets filelock huggingface_hub jsonargparse lightning numpy optuna pyarrow pytorch_lightning "
    "safetensors scipy sklearn sqlalchemy tensorboard timm torchmetrics torchvision tqdm xxhash yaml",
    "report": "jinja2 markupsafe matplotlib",
    "text": "sentencepiece transformers",
    "onnx": "onnx onnxruntime onnxscript",
}
"""What each extra of `pyproject.toml` lets one import."""


def extra_of(package: str) -> str | None:
    """Return the extra that installs a package, by the name that is imported; None for one that no extra does."""
    return next((extra for extra, packages in _EXTRAS.items() if package in packages.split()), None)


def not_installed(asked: str, package: str, extra: str) -> str:
    """Return the sentence that says which package `asked` needs, and which extra installs it."""
    return f"{asked} needs the package {package!r}, which is not installed; pip install 'studygroup[{extra}]'"


def needing_extra(module: str, *, asked: str) -> ModuleType:
    """Import a module of the library that needs the extra `train`; `asked` is the import path for the message.

    Raises:
        ModuleNotFoundError: a package is missing; names the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "studygroup":
            raise
        raise ModuleNotFoundError(not_installed(asked, package, "train"), name=error.name) from error


def missing(what: str, extra: str, error: ImportError) -> ValueError:
    """Return the error that says which extra a feature needs."""
    return ValueError(f"{what} needs a package more ({error}); pip install 'studygroup[{extra}]'")
