"""The precision of a run whose settings leave it open: bfloat16 where the processor has instructions for it."""

import dataclasses
import functools
from pathlib import Path

from studygroup.data import Data
from studygroup.data.form import Pictures
from studygroup.training.folder import RunFolder
from studygroup.training.settings import AUTO, Settings

_FLAGS = frozenset(("amx_bf16", "avx512_bf16"))


def settled(settings: Settings, data: Data, folder: RunFolder | None = None) -> Settings:
    """Return the settings with a precision: their own, that of the run in the folder, or the one chosen here.

    `bf16-mixed` is chosen for pictures on a processor with instructions for products in bfloat16; anything else is
    `32-true`: texts, scikit-learn's digits, whose steps are too short to gain, GPUs, and runs of several processes,
    whose machines may differ.
    """
    if settings.precision != AUTO:
        return settings
    if folder is not None and folder.config.exists():
        return dataclasses.replace(settings, precision=folder.read_config().get("precision", "32-true"))
    pays = isinstance(data.form, Pictures) and settings.data != "digits" and settings.processes == 1
    half = pays and settings.device.type == "cpu" and native_bfloat16()
    return dataclasses.replace(settings, precision="bf16-mixed" if half else "32-true")


@functools.cache
def native_bfloat16() -> bool:
    """Say whether the processor multiplies matrices of bfloat16: AMX, or AVX512-BF16; False where nobody tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _FLAGS.isdisjoint(flags)
