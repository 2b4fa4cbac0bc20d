"""Which inputs of a network carry rows: declared by name, otherwise told by their length, and remembered."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from studygroup._engine.rows import BatchLayout
from studygroup.inputs import Inputs, count_rows
from studygroup.naming import did_you_mean

_CONTAINERS = (Mapping, list, tuple)


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch, and which of its parts carry rows.

    Attributes:
        inputs: as the model takes them.
        rows: number of rows.
        carries: whether each tensor, list and tuple carries rows, by path: names of arguments, keys and places,
            joined by dots; `""` for a tensor that is the whole input.
        structure: paths, kinds and dtypes of all parts.
        sizes: their sizes, the number of rows aside.
    """

    inputs: Inputs
    rows: int
    carries: Mapping[str, bool]
    structure: tuple[Any, ...]
    sizes: tuple[tuple[int, ...], ...]

    def map(
        self, of_tensor: Callable[[Tensor], Tensor], of_list: Callable[[Sequence[Any]], list[Any]]
    ) -> Inputs:
        """Return the inputs with other rows.

        Args:
            of_tensor: applied to every tensor that carries rows.
            of_list: the same for lists and tuples.
        """

        def visit(value: Any, path: str) -> Any:
            if self.carries.get(path):
                return of_tensor(value) if isinstance(value, Tensor) else type(value)(of_list(value))
            if not isinstance(value, _CONTAINERS):
                return value
            items = [visit(item, _join(path, key)) for key, item in _items(value)]
            if isinstance(value, Mapping):
                return dict(zip(value, items, strict=True))
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)

        made: Inputs = visit(self.inputs, "")
        return made

    def index(self, places: Sequence[int]) -> "Batch":
        """Return a batch of the rows at some places, each as often as it is named."""
        inputs = self.map(
            lambda tensor: tensor[torch.as_tensor(places, device=tensor.device)],
            lambda items: [items[place] for place in places],
        )
        return replace(self, inputs=inputs, rows=len(places))

    def enter(self, layout: BatchLayout) -> tuple[Inputs, tuple[Any, ...], tuple[Any, ...]]:
        """Return the inputs of the rows that enter, and what in them carries rows and what does not.

        Args:
            layout: which rows enter, as often as students part before.
        """
        entered = self.with_inputs(
            self.map(
                lambda tensor: layout.enter([tensor])[0],
                lambda items: [items[place] for place in layout.entry.sample.tolist()],
            )
        )
        return entered.inputs, tuple(entered.parts(carrying=True)), tuple(entered.parts(carrying=False))

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Yield all parts with their paths."""
        return _walk(self.inputs)

    def with_inputs(self, inputs: Inputs) -> "Batch":
        """Return a batch of the same sort."""
        return replace(self, inputs=inputs)

    def parts(self, *, carrying: bool) -> Iterator[Any]:
        """Yield the tensors and lists that carry rows, or those that do not."""
        for path, value in self.walk():
            if path in self.carries and self.carries[path] is carrying:
                yield value


@dataclass
class RowInputs:
    """Which inputs carry rows.

    A tensor that is not declared carries rows if it has as many as the batch. If an earlier batch has told otherwise,
    it is an error.

    Args:
        rows: names of inputs that carry rows: tensors, or lists and tuples as long as the batch; everything inside a
            mapping of that name. Dots lead into mappings: `"text.ids"`.
        shared: names of inputs that all students get as they are.

    Raises:
        ValueError: a name both carries rows and is shared, or a text in place of a tuple of names.
    """

    rows: Sequence[str] = ()
    shared: Sequence[str] = ()
    _told: dict[str, bool] = field(default_factory=dict)
    _matched: bool = False

    def __post_init__(self) -> None:
        for option, names in (("rows", self.rows), ("shared", self.shared)):
            if isinstance(names, str):
                raise ValueError(
                    f"{option}={names!r} is a text; give a tuple of names: {option}=({names!r},)"
                )
        self.rows, self.shared = tuple(self.rows), tuple(self.shared)
        both = [name for name in self.rows if name in self.shared]
        if both:
            raise ValueError(f"input {both[0]!r} is declared under rows and under shared; name it under one")

    def count(self, inputs: Inputs) -> int:
        """Count the rows of a batch: of the first input that is declared to carry rows, else of the first tensor.

        Raises:
            ValueError: as `studygroup.inputs.count_rows`.
        """
        if not isinstance(inputs, Mapping) or "labels" in inputs or not (self.rows or self.shared):
            return count_rows(inputs)
        for path, value in _walk(inputs):
            if self._declared(path) and isinstance(value, list | tuple):
                return len(value)
            if self._declared(path) and isinstance(value, Tensor):
                return count_rows(value)
        return count_rows(
            {path: value for path, value in _walk(inputs) if self._declared(path) is None and _is_leaf(value)}
        )

    def read(self, inputs: Inputs) -> Batch:
        """Tell which parts of a batch carry rows.

        Raises:
            ValueError: a part of which this cannot be told, or that cannot be taken apart, with its name.
        """
        rows = self.count(inputs)
        carries: dict[str, bool] = {}
        structure: list[Any] = []
        sizes: list[tuple[int, ...]] = []
        covered: str | None = None  # inside a list whose places are the rows
        for path, value in _walk(inputs):
            if covered is not None and path.startswith(covered):
                continue
            covered = None
            if isinstance(value, Tensor):
                own = self._tensor(path, value, rows)
                carries[path] = own
                structure.append((path, own, value.dtype, value.ndim))
                sizes.append(tuple(value.shape[1:] if own else value.shape))
                continue
            if self._list(path, value, rows):
                carries[path], covered = True, f"{path}."
            elif not isinstance(value, _CONTAINERS):
                self._refuse_opaque(path, value, rows)
            structure.append((path, type(value)))
        if not self._matched:
            self._check_names(path for path, _ in _walk(inputs))
        return Batch(inputs, rows, carries, tuple(structure), tuple(sizes))

    def remember(self, batch: Batch) -> None:
        """Keep what a batch has told of its parts, once it has passed."""
        self._matched = True
        if batch.rows > 1:
            self._told.update((path, own) for path, own in batch.carries.items() if path)

    def _tensor(self, path: str, tensor: Tensor, rows: int) -> bool:
        declared, told = self._declared(path), self._told.get(path)
        if declared is False:
            return False
        if tensor.is_nested or tensor.layout is not torch.strided:
            kind = "nested" if tensor.is_nested else "sparse"
            if not declared and not tensor.is_nested and len(tensor) != rows:
                return False
            raise ValueError(
                f"{_named(path)} is a {kind} tensor, whose rows cannot be taken apart; hand in a padded or dense "
                f"tensor, or declare shared=({path!r},) if it has no rows"
            )
        has = bool(tensor.ndim) and len(tensor) == rows
        if declared:
            if not has:
                raise ValueError(
                    f"{_named(path)} is declared to carry rows and has shape {tuple(tensor.shape)} in a batch of "
                    f"{rows} rows; hand in one entry a row, or leave it out of rows=..."
                )
            return True
        if not path or told is None or told is has:
            return has
        if rows == 1:  # one row and one entry: what it was before
            return told
        fact = f"has {len(tensor) if tensor.ndim else 'no'} entries in a batch of {rows} rows"
        before = "carried rows" if told else "had another number of entries than the batch"
        raise ValueError(f"{_named(path)} {fact}, and {before} earlier; {_way_out(path)}")

    def _list(self, path: str, value: Any, rows: int) -> bool:
        """Tell whether a list or tuple is one of rows."""
        if isinstance(value, Mapping | str | bytes) or not isinstance(value, list | tuple):
            return False
        if self._declared(path) is False or hasattr(value, "_fields"):
            return False
        inside = [item for _, item in _walk(value) if isinstance(item, Tensor)]
        if self._declared(path):
            if len(value) == rows:
                return True
            if inside:
                return False
            raise ValueError(
                f"{_named(path)} is declared to carry rows and has {len(value)} entries in a batch of {rows} rows; "
                "hand in one entry a row, or leave it out of rows=..."
            )
        if len(value) != rows or any(item.ndim and len(item) == rows for item in inside):
            return False
        raise ValueError(
            f"{_named(path)} is a {type(value).__name__} of {len(value)} entries in a batch of {rows} rows, which "
            f"may be rows or not; {_way_out(path)}"
        )

    def _refuse_opaque(self, path: str, value: Any, rows: int) -> None:
        """Refuse an array with as many rows as the batch, and an object that holds such tensors."""
        if self._declared(path) is False or isinstance(value, type) or callable(value):
            return
        shape = getattr(value, "shape", ()) if hasattr(value, "__array__") else ()
        if self._declared(path) or (shape and shape[0] == rows):
            if value is None:
                return
            raise ValueError(
                f"{_named(path)} is a {type(value).__name__}, whose rows cannot be taken apart; hand in a tensor, or "
                f"declare shared=({path!r},) if it has no rows"
            )
        held = [
            name
            for name, item in getattr(value, "__dict__", {}).items()
            if isinstance(item, Tensor) and item.ndim and len(item) == rows
        ]
        if held:
            raise ValueError(
                f"{_named(path)} is a {type(value).__name__} that holds {held[0]!r}, a tensor with as many rows as "
                f"the batch; hand in its tensors in a mapping, or declare shared=({path!r},) if they are no rows"
            )

    def _declared(self, path: str) -> bool | None:
        """Return whether an input is declared to carry rows; `None` if it is not declared."""
        if not self.rows and not self.shared:
            return None
        while path:
            if path in self.rows:
                return True
            if path in self.shared:
                return False
            path = path.rpartition(".")[0]
        return None

    def _check_names(self, paths: Iterator[str]) -> None:
        there = list(paths)
        for option, names in (("rows", self.rows), ("shared", self.shared)):
            for name in names:
                if name not in there:
                    raise ValueError(
                        f"{option} names {name!r}{did_you_mean(name, there)}, and the inputs have "
                        f"{', '.join(map(repr, filter(None, there)))}; use one of these names"
                    )


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, Mapping) else enumerate(value)


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parts of nested mappings, lists and tuples, containers before what they hold."""
    if path or not isinstance(value, _CONTAINERS):
        yield path, value
    if isinstance(value, _CONTAINERS):
        for key, item in _items(value):
            yield from _walk(item, _join(path, key))


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, _CONTAINERS)


def _named(path: str) -> str:
    return f"input {path!r}" if path else "the input"


def _way_out(path: str) -> str:
    return (
        f"declare it with rows=({path!r},) or shared=({path!r},), on the group or with task.with_inputs(...), so "
        "that it is told from others by its name"
    )
