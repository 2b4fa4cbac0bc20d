"""Arrays from untrusted files: NumPy archives and pickles, read without executing any code."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

_HARMLESS = {
    (module, name)
    for package in ("numpy.core", "numpy._core")  # NumPy 1 wrote the first, NumPy 2 writes the second
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        (f"{package}.numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _Arrays(pickle.Unpickler):
    """An unpickler that builds plain values and NumPy arrays and refuses everything else that a pickle may name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that arrays are made of, and refuse all others."""
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return super().find_class(module, name)


def array(path: Path, key: str) -> np.ndarray:
    """Return one array of a `.npz` archive, or of a pickled dict of arrays and lists.

    Args:
        path: of the file; one without the ending `.npz` is a pickle, by Python 2 or 3.
        key: of the array.

    Raises:
        ValueError: the file is damaged, is something else, asks for code to be run, or has no such array.
    """
    try:
        with path.open("rb") as stream:
            if path.suffix == ".npz":
                with np.load(stream, allow_pickle=False) as content:
                    return np.asarray(content[key])
            # Python 2 wrote arrays as text, of which latin1 keeps every byte
            return np.asarray(_Arrays(stream, encoding="latin1").load()[key])
    except Exception as error:  # damaged pickles and archives raise almost anything
        raise ValueError(
            f"{path} cannot be read: no array {key!r} in it ({type(error).__name__}: {str(error)[:120]}); unpack the "
            "archive again"
        ) from error
