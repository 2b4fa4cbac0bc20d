"""Answers as trees of tensors, in which other libraries look for tensors."""

from dataclasses import replace
from typing import Any

from torch.utils._pytree import register_pytree_node


class _Whole:
    """What was taken apart; equal to nothing else, as what it holds cannot be compared."""

    def __init__(self, value: Any) -> None:
        self.value = value


def as_tree(kind: type, *fields: str) -> None:
    """Let `torch.utils._pytree` find the tensors in some fields of a frozen dataclass.

    Sharding hooks what a module returns, and that of torch 2.11 finds tensors in such trees alone: without, a
    sharded task would compute no gradient that the optimiser sees (that of 2.14 does without).

    Args:
        kind: the dataclass.
        fields: its fields with tensors, or mappings of them.
    """

    def flatten(value: Any) -> tuple[list[Any], _Whole]:
        return [getattr(value, name) for name in fields], _Whole(value)

    def unflatten(found: Any, whole: _Whole) -> Any:
        return replace(whole.value, **dict(zip(fields, found, strict=True)))

    register_pytree_node(
        kind, flatten, unflatten, serialized_type_name=f"{kind.__module__}.{kind.__qualname__}"
    )
