"""Encoders saved in a folder: one file that describes the encoder, and the files of its underlying library."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.files import write_bytes, write_text
from studygroup.untrusted import check_file, parse_json, read_text

ENCODER_FILE = (
    "encoder.json"  # not tokenizer.json: Hugging Face's libraries expect their own file under that name
)


@dataclass(frozen=True)
class Kept:
    """The complete state of an encoder, as plain values.

    Attributes:
        kind: name of its class.
        settings: its arguments, plain values, except those that are files.
        files: content of each file by name, without folders.
    """

    kind: str
    settings: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def fingerprint(self) -> str:
        """The sha256 sum of kind, settings and files, as 64 hexadecimal digits."""
        total = hashlib.sha256()
        parts = [json.dumps([self.kind, self.settings], sort_keys=True).encode()]
        for name in sorted(self.files):
            parts += [name.encode(), self.files[name]]
        for part in parts:
            total.update(len(part).to_bytes(8, "big") + part)
        return total.hexdigest()

    def write(self, folder: str | Path) -> None:
        """Write everything into a folder, which is created if missing; files of other names are kept.

        The file that lists the others is written last, so that an incompletely written folder cannot be read.
        """
        folder = Path(folder)
        for name, content in self.files.items():
            write_bytes(folder / name, content)
        about = {
            "kind": self.kind,
            "settings": self.settings,
            "files": sorted(self.files),
            "fingerprint": self.fingerprint,
        }
        write_text(folder / ENCODER_FILE, json.dumps(about, indent=2) + "\n")


class Encodes(ABC):
    """The behaviour that all encoders share, derived from their state."""

    @property
    @abstractmethod
    def _kept(self) -> Kept:
        """The complete state of the encoder."""

    @property
    def fingerprint(self) -> str:
        """The sha256 sum of settings and files."""
        return self._kept.fingerprint

    def save(self, folder: str | Path) -> None:
        """Write `encoder.json` and the files that it names, see `studygroup.data.text.load_encoder`."""
        self._kept.write(folder)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is computed from the rest."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def read_kept(folder: str | Path) -> Kept:
    """Read what `Kept.write` wrote into a folder.

    Raises:
        ValueError: a file is missing, damaged or not written by `Kept.write`.
    """
    folder = Path(folder)
    path = folder / ENCODER_FILE
    try:
        about = parse_json(read_text(path, folder=folder))
        if any(name != Path(name).name or name in ("", "..") for name in about["files"]):
            raise ValueError(f"names of files are {about['files']}")
        for name in about["files"]:
            check_file(folder / name, folder=folder, most=_LONGEST)
        files = {name: (folder / name).read_bytes() for name in about["files"]}
        kept, expected = Kept(about["kind"], about["settings"], files), about["fingerprint"]
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} holds no whole tokenizer: {Path(error.filename).name} is missing; give the folder that one "
            "was saved in, with all its files"
        ) from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a tokenizer's ({error!r}); {_AGAIN}") from error
    if kept.fingerprint != expected:
        raise ValueError(
            f"the tokenizer in {folder} is damaged: the sha256 sum of its files and settings is {kept.fingerprint} "
            f"and was {expected}; {_AGAIN}"
        )
    return kept


_LONGEST = 2**29  # bytes of a file
_AGAIN = "copy the whole folder again, or save the tokenizer anew"
