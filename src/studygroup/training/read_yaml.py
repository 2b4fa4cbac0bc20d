"""YAML of unknown origin: plain values alone, of bounded length, depth and size with all aliases written out."""

from pathlib import Path
from typing import Any

import yaml

from studygroup.untrusted import read_text

_LONGEST = 2**18  # bytes of a file, and characters of a text: a second of parsing
_MOST = 50_000  # values
_DEEPEST = 40


class TooLargeError(ValueError):
    """YAML that stands for more than a configuration holds, or for itself."""


def read_yaml(path: Path, *, folder: Path | None = None) -> Any:
    """Read a YAML file, such as a configuration.

    Args:
        path: the file.
        folder: the file must lie in it, links followed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no plain file, no YAML in UTF-8, or too large.
    """
    return parse_yaml(read_text(path, folder=folder, most=_LONGEST))


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        TooLargeError: it is too large, too deep, or nested in itself.
        ValueError: it is no YAML of plain values.
    """
    if len(text) > _LONGEST:
        raise TooLargeError(f"it has {len(text):,} characters, more than the {_LONGEST:,} that it may have")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, 0)  # before anything is built: merged mappings would grow while they are
        return loader.construct_document(node)
    except RecursionError:
        raise TooLargeError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML of plain values: {error}") from error


def _size(node: yaml.Node, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Return how many values stand below a node, and in how many levels; those behind aliases count every time."""
    if depth > _DEEPEST:
        raise TooLargeError(f"it is nested more than {_DEEPEST} levels deep, or in itself")
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    below = (
        [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    )
    inner = [] if isinstance(node, yaml.ScalarNode) else [_size(child, known, depth + 1) for child in below]
    size, height = 1 + sum(some for some, _ in inner), 1 + max((levels for _, levels in inner), default=0)
    if size > _MOST or height > _DEEPEST:
        raise TooLargeError(
            f"it stands for more than {_MOST:,} values or {_DEEPEST} levels, aliases written out"
        )
    known[id(node)] = size, height
    return size, height


def _check_keys(node: yaml.MappingNode) -> None:
    """Refuse a mapping that has a key twice, of which the last would be taken without a word."""
    first: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            line = key.start_mark.line + 1
            if key.value in first:
                raise ValueError(
                    f"it has the key {key.value!r} in line {first[key.value]} and in line {line}"
                )
            first[key.value] = line
