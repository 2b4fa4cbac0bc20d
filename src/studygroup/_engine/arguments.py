"""What a routed layer is given: which arguments carry the rows in flight, and what each module gets of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from studygroup._engine.rows import Split
from studygroup.inputs import among, tensors

if TYPE_CHECKING:
    from studygroup._engine.routed import ForwardState

Kind = Literal["rows", "entered", "whole"]
Note = tuple["Arguments", str, tuple[int, ...], Kind]


class Arguments:
    """The arguments of one routed layer, as dry runs have seen them.

    A tensor carries rows if it has as many as there are in flight, or as many as entered. Dry runs have few rows, so
    that a tensor that keeps its length in other batches is known to carry none.

    Args:
        name: the layer's name in the user's model.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: dict[str, dict[Kind, set[tuple[int, ...]]]] = {}
        self._entered_alone = False

    def leading(self, given: Any, state: "ForwardState") -> Tensor:
        """Return the first tensor that carries the rows in flight.

        Raises:
            ValueError: there is none, or rows stand as they entered although students have parted since.
        """
        given_tensors = list(tensors(given))
        own = [t for t in given_tensors if t.ndim and not among(t, state.whole)]
        found = next((t for t in own if not t.is_nested and len(t) == len(state.rows)), None)
        if found is not None:
            return found
        first = given_tensors[0] if given_tensors else None
        if first is not None and first.is_nested:
            raise ValueError(
                f"layer {self.name!r} was given a nested tensor, as nn.TransformerEncoder makes of padded rows in "
                "evaluation; build the encoder with enable_nested_tensor=False, or name the enclosing block"
            )
        entered = next((t for t in own if not t.is_nested and len(t) == len(state.layout.entry)), None)
        if entered is not None:
            inputs = among(entered, state.entering)
            if state.trial:
                state.entered_alone.append(self)
            if inputs or state.trial or self._entered_alone:
                return entered
            raise ValueError(
                f"layer {self.name!r} was given an input of shape {tuple(entered.shape)}, as many rows as entered, "
                f"while {len(state.rows)} rows are in flight since students have parted; take the number of rows "
                "from the tensor that the layer before returned, or name the enclosing block"
            )
        shape = None if first is None else tuple(first.shape)
        raise ValueError(
            f"layer {self.name!r} was given an input of shape {shape} while {len(state.rows)} rows are in flight; "
            "rows must lie along axis 0 (batch_first=True), or name the enclosing block"
        )

    def hand_out(self, given: Any, split: Split, state: "ForwardState") -> tuple[list[Any], list[Tensor]]:
        """Return the arguments of each module that has rows, and the tensors that were given."""
        taken: list[Tensor] = []
        return self._hand_out(given, split, state, "", taken), taken

    def note(self, path: str, shape: tuple[int, ...], kind: Kind) -> None:
        """Keep what a dry run has shown to be right."""
        self._seen.setdefault(path, {}).setdefault(kind, set()).add(shape)

    def allow_entered(self) -> None:
        """Keep that rows as they entered are right, although students have parted."""
        self._entered_alone = True

    def _hand_out(
        self, value: Any, split: Split, state: "ForwardState", path: str, taken: list[Tensor]
    ) -> list[Any]:
        parts = range(len(split.parts))
        if isinstance(value, Tensor):
            taken.append(value)
            return self._tensor(value, split, state, path)
        if among(value, state.entering):  # a list of rows
            return [type(value)(value[place] for place in part.entry.tolist()) for part in split.parts]
        if isinstance(value, Mapping):
            columns = {
                key: self._hand_out(item, split, state, f"{path}.{key}", taken) for key, item in value.items()
            }
            return [like(value, {key: column[i] for key, column in columns.items()}) for i in parts]
        if isinstance(value, list | tuple):
            rows = [self._hand_out(v, split, state, f"{path}.{i}", taken) for i, v in enumerate(value)]
            return [like(value, [row[i] for row in rows]) for i in parts]
        return [value for _ in parts]

    def _tensor(self, value: Tensor, split: Split, state: "ForwardState", path: str) -> list[Tensor]:
        kind = self._kind(path, value, state)
        if kind == "whole":
            return [value for _ in split.parts]
        if kind == "entered":
            found = split.take_entry([value])
        else:
            if state.rescale_gradients and value.requires_grad and len(split.rows) > len(state.rows):
                value = _rescaled(value, split.branches_on(value.device))
            found = split.take([value])
        # no version counter would tell of work in place
        unseen = len(found) > 1 and not torch.compiler.is_compiling() and value.is_inference()
        alone = len(split.modules) + len(split.idle) == 1
        return [tensor.clone() for tensor in found] if unseen or (state.trial and not alone) else found

    def _kind(self, path: str, value: Tensor, state: "ForwardState") -> Kind:
        if among(value, state.whole) or not value.ndim or value.is_nested:
            return "whole"
        length = len(value)
        kind: Kind = "whole"
        if length == len(state.rows):
            kind = "rows"
        elif length == len(state.layout.entry):
            kind = "entered"
        if among(value, state.entering):
            return kind
        if state.trial:
            state.notes.append((self, path, tuple(value.shape), kind))
            return kind
        seen = self._seen.get(path)
        if torch.compiler.is_compiling():  # no guard on lengths: what has carried rows does, and nothing else
            return "whole" if seen is not None and "whole" in seen and len(seen) == 1 else kind
        return kind if seen is None else self._known(kind, tuple(value.shape), seen, state)

    def _known(
        self,
        kind: Kind,
        shape: tuple[int, ...],
        seen: Mapping[Kind, set[tuple[int, ...]]],
        state: "ForwardState",
    ) -> Kind:
        """Compare what the length says with what dry runs have shown."""
        whole = seen.get("whole", set())
        rows = seen.get("rows", set()) | seen.get("entered", set())
        if kind == "whole":
            if whole or shape in rows or shape[0] == 1:
                return kind
            fact = f"of shape {shape} while {len(state.rows)} rows are in flight, and it carried rows earlier"
        elif shape in whole or (whole and shape[0] == 1):
            return "whole"  # as long with other numbers of rows
        elif rows or not whole:
            return kind
        else:
            fact = f"of shape {shape}, as long as the rows in flight by chance: it carried none earlier"
        raise ValueError(
            f"layer {self.name!r} was given a tensor {fact}; name the enclosing block, or use another number of rows"
        )


def like(example: Any, items: Any) -> Any:
    """Build a container of the example's own class."""
    if hasattr(example, "_fields"):  # a named tuple
        return type(example)(*items)
    if isinstance(example, Mapping):
        return items if type(example) is dict else type(example)(**items)
    return type(example)(items)


def _rescaled(batch: Tensor, branches: Tensor) -> Tensor:
    """Return the same values, with gradients divided by the number of branches of each row (CL-ILR)."""
    per_row = branches.view(-1, *[1] * (batch.ndim - 1))
    alias: Tensor = _Divided.apply(
        batch, per_row
    )  # a hook on the batch itself would reach shortcuts around the layer
    return alias


class _Divided(torch.autograd.Function):
    """The same values, with gradients divided."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, divisor: Tensor) -> Tensor:
        ctx.save_for_backward(divisor)
        return batch.view_as(batch)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (divisor,) = ctx.saved_tensors
        return gradients[0] / divisor, None
