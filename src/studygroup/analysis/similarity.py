"""Similarity of the students' representations: linear centred kernel alignment (Kornblith et al. 2019)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup._engine.capture import modules_called
from studygroup.analysis.answers import Batches, summed, wide
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks
from studygroup.analysis.pairs import over_pairs, pair_table, pairs_of, symmetric
from studygroup.inputs import first_tensor


def linear_cka(x: Float[Tensor, "rows width"], y: Float[Tensor, "rows other_width"]) -> Float[Tensor, ""]:
    """Return ‖Yᵀ X‖²_F / (‖Xᵀ X‖_F ‖Yᵀ Y‖_F), columns centred over the rows; exact, on all rows at once.

    Args:
        x: one row for each input.
        y: the same inputs in another representation.

    Returns:
        A value in [0, 1]; 1 for representations that differ by a rotation and a scale. Not a number where one of the
        two does not vary.
    """
    x, y = (wide(h) - wide(h).mean(0) for h in (x, y))
    norms = [torch.linalg.matrix_norm(h.T @ h) for h in (x, y)]
    alike: Tensor = (y.T @ x).square().sum() / (norms[0] * norms[1])
    return alike


def representations(
    students: Sequence[nn.Module], batches: Batches, *, layer: str | None = None, tokens: bool = False
) -> tuple[list[Float[Tensor, "rows _width"]], str]:
    """Return the output of a layer of each student, in evaluation, one row for each input.

    Args:
        students: networks that have a layer of that name.
        batches: the rows.
        layer: its name; omitted, the *input* of the last `nn.Linear` that a network calls, the pooled features.
        tokens: whether its output is (rows, tokens, width); otherwise channels come before space. The mean is taken
            over space, or over the tokens that the inputs' `attention_mask` does not rule out.

    Returns:
        The representations, and a name for the tensor that was taken.

    Raises:
        ValueError: a layer that is not there, is not called or has no rows; no rows; logits that are not finite.
    """
    found: list[list[Tensor]] = [[] for _ in students]
    with ExitStack() as stack:
        looks = [stack.enter_context(_looking(student, layer)) for student in students]

        def keep(logits: Tensor, labels: Tensor) -> Tensor:
            for rows, look in zip(found, looks, strict=True):
                rows.append(_pooled(look.take(len(labels)), look.mask, tokens=tokens))
            return logits.new_zeros(())

        summed(students, batches, keep).finite()
    return [torch.cat(rows) for rows in found], looks[0].name


def similarity(
    students: Sequence[nn.Module], batches: Batches, *, layer: str | None = None, tokens: bool = False
) -> tuple[Float[Tensor, "students students"], str]:
    """Return linear CKA between the representations of every two students, and a name for the tensor taken.

    Args:
        students: two or more networks.
        batches: the rows.
        layer: as for `representations`.
        tokens: likewise.

    Raises:
        ValueError: as `representations`; one student; a representation that is equal for all rows.
    """
    pairs = pairs_of(len(students))
    found, name = representations(students, batches, layer=layer, tokens=tokens)
    constant = [k for k, h in enumerate(found) if not bool((h != h[0]).any())]
    if constant:
        raise ValueError(
            f"the representation of student {constant[0]} at {name!r} is the same for all {len(found[0])} rows, so "
            "that nothing can be compared with it; name another layer, or give more rows"
        )
    values = torch.stack([linear_cka(found[a], found[b]) for a, b in pairs])
    return symmetric(values, len(students), own=1.0), name


@dataclass
class _Look:
    """The tensor that passed a layer of a network at its last call, and the mask of the inputs."""

    name: str
    value: Tensor | None = None
    mask: Tensor | None = None

    def take(self, rows: int) -> Tensor:
        """Return what was recorded for a batch of `rows` rows."""
        value, self.value = self.value, None
        if value is None:
            raise ValueError(
                f"{self.name!r} is never called or gives no tensor; name a layer whose output is one"
            )
        if value.ndim < 2 or len(value) != rows:
            raise ValueError(
                f"{self.name!r} gave a tensor of shape {tuple(value.shape)} for {rows} rows; name a layer "
                "whose output has rows along axis 0 and numbers for each"
            )
        return value


@contextmanager
def _looking(net: nn.Module, layer: str | None) -> Iterator[_Look]:
    """Record a layer's output, or the input of the last linear layer that is called."""
    look = _Look(layer or "the last nn.Linear")

    def inputs(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        look.mask = kwargs.get("attention_mask")

    def after(module: nn.Module, args: Any, output: Any) -> None:
        value = first_tensor(output)
        look.value = None if value is None else value.clone()  # an activation in place may come next

    def before(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        look.name, look.value = f"input of {name}", args[0]

    with ExitStack() as hooks:
        hooks.callback(net.register_forward_pre_hook(inputs, with_kwargs=True).remove)
        if layer is not None:
            hooks.callback(modules_called(net, layer)[0].register_forward_hook(after).remove)
        else:
            for name, module in net.named_modules():
                if isinstance(module, nn.Linear):
                    hooks.callback(module.register_forward_pre_hook(partial(before, name)).remove)
        yield look


def _pooled(value: Tensor, mask: Tensor | None, *, tokens: bool) -> Tensor:
    """Return one row for each input: the mean over space, or over tokens."""
    if not tokens:
        return value.flatten(2).mean(-1) if value.ndim > 2 else value
    if value.ndim != 3 or (mask is not None and mask.shape != value.shape[:2]):
        said = "" if mask is None else f", and the mask {tuple(mask.shape)}"
        raise ValueError(
            f"the layer's output has shape {tuple(value.shape)}{said}; with tokens=True it "
            "must be (rows, tokens, width)"
        )
    if mask is None:
        return value.mean(1)
    share = mask.to(value) / mask.sum(1, keepdim=True)
    return torch.einsum("nt,ntd->nd", share, value)


@dataclass(frozen=True, kw_only=True)
class Similarity(OfNetworks):
    """Similarity of the students' representations: linear CKA between the outputs of one layer.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
        layer: name of the layer; omitted, the input of the last linear layer that is called.
        tokens: whether the layer's output is (rows, tokens, width); otherwise channels come before space.
    """

    layer: str | None = None
    tokens: bool = False

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return the matrix, and its mean over pairs."""
        matrix, name = similarity(networks.students(), networks.batches, layer=self.layer, tokens=self.tokens)
        return {"layer": name, "similarity": over_pairs(matrix), "cka": matrix.tolist()}

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return the matrix, then the mean over pairs."""
        end = ("mean over pairs", f"{found['similarity']:.3f}", *[""] * (len(found["cka"]) - 1))
        return [*pair_table(found["cka"], head=f"CKA, {found['layer']}"), end]
