"""Arrays from untrusted files: NumPy archives, pickles and torch's files, read without executing any code."""

import importlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studygroup.untrusted import check_file, check_loaded, check_unpacked

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


def saved_columns(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of numbers in a file by `torch.save`: arrays, tensors or lists of one dimension, by name.

    torch reads the file with `weights_only=True`, which builds tensors and plain values alone; here arrays of NumPy 1
    and 2 are allowed besides.

    Args:
        path: of the file.

    Raises:
        ValueError: the file is damaged, asks for anything else, or holds no such dict.
    """
    try:
        check_file(path, most=_LONGEST)
        check_unpacked(path)
        with torch.serialization.safe_globals(_array_parts()):
            content = torch.load(path, map_location="cpu", weights_only=True)
        check_loaded(content, path)
    except Exception as error:  # damaged files raise almost anything
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{path} cannot be read as arrays alone ({type(error).__name__}: {reason}); copy it again, or store its "
            "columns as Parquet or CSV"
        ) from error
    named = content.items() if isinstance(content, Mapping) else ()
    arrays = {
        str(name): np.asarray(values)
        for name, values in named
        if isinstance(values, Tensor | np.ndarray | list)
    }
    columns = {
        name: values for name, values in arrays.items() if values.ndim == 1 and values.dtype.kind in "iuf"
    }
    if not columns:
        raise ValueError(
            f"{path} holds {type(content).__name__} without arrays of numbers by name; store a dict of such columns"
        )
    return columns


def _array_parts() -> list[Any]:
    """Return what arrays are made of, under the names of NumPy 1 and 2, for torch's list of what is safe."""
    old = np.lib.NumpyVersion(np.__version__) < "2.0.0"
    modules: Any = importlib.import_module("numpy.core" if old else "numpy._core")
    parts: list[Any] = [np.ndarray, np.dtype]
    for package in ("numpy.core", "numpy._core"):
        parts += [
            (modules.multiarray._reconstruct, f"{package}.multiarray._reconstruct"),
            (modules.multiarray.scalar, f"{package}.multiarray.scalar"),
            (modules.numeric._frombuffer, f"{package}.numeric._frombuffer"),
        ]
    kinds = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
    return [*parts, *(type(np.dtype(kind)) for kind in kinds)]
