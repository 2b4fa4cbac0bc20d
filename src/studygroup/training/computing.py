"""How a run computes: threads, deterministic algorithms, and what else decides the last bits of a result."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from studygroup.training.settings import Settings

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
NOT_DETERMINISTIC = (
    "convolutions of cuDNN, and gradients of indexing, embeddings, pooling and interpolation, which sum in another "
    "order every time"
)
"""What repeats differently on CUDA unless `deterministic` is set."""


@contextmanager
def computing(settings: Settings) -> Iterator[None]:
    """Compute as a run's settings say within the context: by so many CPU threads, deterministically or not.

    Args:
        settings: `threads` and `deterministic` count; None leaves torch as it is.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns, workspace = torch.is_deterministic_algorithms_warn_only_enabled(), os.environ.get(_WORKSPACE)
    if settings.deterministic is not None:
        torch.use_deterministic_algorithms(settings.deterministic)
    if settings.deterministic:
        os.environ.setdefault(_WORKSPACE, ":4096:8")  # asked for by cuBLAS
    try:
        with cpu_threads(settings.threads):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)
        if settings.deterministic and workspace is None:
            os.environ.pop(_WORKSPACE, None)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Set the number of torch's CPU threads within the context, if one is given."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def facts(device: torch.device, precision: str) -> dict[str, str]:
    """Return in words what decides the last bits of a result besides versions, as torch is set now."""
    found = {
        "device": device.type,
        "machine": platform.machine(),
        "CPU instructions": torch.backends.cpu.get_cpu_capability(),
        "CPU threads": str(torch.get_num_threads()),
        "precision": precision,
        "precision of products": torch.get_float32_matmul_precision(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
    }
    if device.type == "cuda":
        found |= {
            "GPU": torch.cuda.get_device_name(device),
            "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "TF32 of cuDNN": str(torch.backends.cudnn.allow_tf32).lower(),
            "cuDNN's search": str(torch.backends.cudnn.benchmark).lower(),
        }
    return found
