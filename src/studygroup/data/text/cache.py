"""Where files are kept that were made from other files and can be made again."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
from datasets.utils import tqdm
from filelock import FileLock

from studygroup.files import write_atomically

_PATIENCE = 2.0  # seconds before a bar is drawn: a small file needs none


def cache_folder() -> Path:
    """`$STUDYGROUP_CACHE`, else `studygroup` in `$XDG_CACHE_HOME`, else `~/.cache/studygroup`.

    What lies there may be removed whenever nothing runs.
    """
    own, common = os.environ.get("STUDYGROUP_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (
        Path(own).expanduser() if own else Path(common or Path.home() / ".cache").expanduser() / "studygroup"
    )


def kept_table(
    name: str, schema: pyarrow.Schema, batches: Callable[[], Iterable[pyarrow.RecordBatch]], *, what: str
) -> Any:
    """A table in a file of the cache folder, written where it is not there yet: by one process, while others wait.

    Args:
        name: of the file; must change with all that decides its content.
        schema: names and types of the columns.
        batches: gives the rows, a batch of the schema after another; no more than one is in memory.
        what: what is being done, for the bar that a long run draws.

    Returns:
        A `datasets.Dataset` over the memory-mapped file.

    Raises:
        ValueError: the folder cannot be written to, or the file is damaged.
    """
    path = cache_folder() / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not path.exists():  # while this one waited
                    write_atomically(path, lambda temporary: _write(temporary, schema, batches(), what))
    except OSError as error:
        raise ValueError(
            f"cannot write {path} ({error}); make room, or name another folder in STUDYGROUP_CACHE"
        ) from error
    try:
        return datasets.Dataset.from_file(str(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and it is made anew") from error


def _write(path: Path, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch], what: str) -> None:
    """Writes batches one after another, in the format that a memory map is read from."""
    with (
        pyarrow.OSFile(str(path), "wb") as file,
        pyarrow.ipc.new_stream(file, schema) as writer,
        tqdm(desc=what, unit=" rows", unit_scale=True, delay=_PATIENCE) as bar,
    ):
        for batch in batches:
            writer.write_batch(batch)
            bar.update(batch.num_rows)
