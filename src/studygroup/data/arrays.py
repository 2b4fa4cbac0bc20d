"""Arrays from untrusted files: NumPy archives and pickles, read without executing any code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from studygroup.untrusted import check_file

_LONGEST = 2**33  # bytes, of a file and of what is packed in it
_HARMLESS = {
    (module, name)
    for package in ("numpy.core", "numpy._core")  # NumPy 1 wrote the first, NumPy 2 writes the second
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        (f"{package}.numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


# in Python: the one in C makes room for as many memos as a pickle claims, whatever that takes
class _Arrays(pickle._Unpickler):
    """An unpickler that builds plain values and NumPy arrays and refuses everything else that a pickle may name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that arrays are made of, and refuse all others."""
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return _latin1 if name == "encode" else super().find_class(module, name)


def _latin1(text: str, encoding: str) -> bytes:
    """Return bytes as pickles of protocol 2 hold them; other codecs would be imported by name."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}, which no array needs")
    return text.encode("latin1")


def array(path: Path, key: str) -> np.ndarray:
    """Return one array of a `.npz` archive, or of a pickled dict of arrays and lists.

    Args:
        path: of the file; one without the ending `.npz` is a pickle, by Python 2 or 3.
        key: of the array.

    Raises:
        ValueError: the file is damaged, is something else, asks for code to be run, or has no such array.
    """
    try:
        check_file(path, most=_LONGEST)
        with path.open("rb") as stream:
            if path.suffix == ".npz":
                if sum(one.file_size for one in zipfile.ZipFile(stream).infolist()) > _LONGEST:
                    raise ValueError(f"it holds more than {_LONGEST:,} bytes")
                stream.seek(0)
                with np.load(stream, allow_pickle=False) as content:
                    return np.asarray(content[key])
            # Python 2 wrote arrays as text, of which latin1 keeps every byte
            return np.asarray(_Arrays(stream, encoding="latin1").load()[key])
    except Exception as error:  # damaged pickles and archives raise almost anything
        raise ValueError(
            f"{path} cannot be read: no array {key!r} in it ({type(error).__name__}: {str(error)[:120]}); unpack the "
            "archive again"
        ) from error
