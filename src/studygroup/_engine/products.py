"""Convolutions that form the weight gradient of two losses in one product."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

_DIMENSIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}


@dataclass(frozen=True)
class Product:
    """A convolution that was called, as seen by a loss that trains its weights and nothing below.

    The weights' gradient is linear in the output's. So the gradient that such a loss gives `share` is added to the
    output's gradient from everything else before the product is taken, and goes no further down: the loss costs no
    product of its own. Give it through a node that has `share` among its inputs.

    Attributes:
        output: the convolution's output in the graph: where to take the loss's gradient.
        share: a stand-in for the output that has its shape and takes no memory.
        weighs: whether gradients that come through are meant for the weights; one element.
    """

    output: GradientEdge
    share: Tensor
    weighs: list[bool]


@contextmanager
def passing(products: Iterable[Product]) -> Iterator[None]:
    """Let gradients that pass convolutions inside reach what lies below, but not the weights."""
    flags = [product.weighs for product in products]
    for flag in flags:
        flag[0] = False
    try:
        yield
    finally:
        for flag in flags:
            flag[0] = True


@contextmanager
def sharing(modules: Iterable[nn.Module]) -> Iterator[Mapping[Tensor, Sequence[Product]]]:
    """Let convolutions inside share their weight-gradient product; what they compute is the same.

    Only in single or double precision, without autocast: in half precision the smaller of two gradients may be lost
    in their sum.

    Args:
        modules: the modules whose convolutions, at any depth, share their product.

    Yields:
        The convolutions that were called, by weight and bias, filled at the end. A parameter that other functions
        used too has none: its gradient comes from autograd alone.
    """
    found: dict[Tensor, Sequence[Product]] = {}
    inner = dict.fromkeys(inner for module in modules for inner in module.modules())
    mode = _Sharing(module for module in inner if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d))
    if not (torch.is_grad_enabled() and mode.calls):
        yield found
        return
    with mode:
        yield found
    found.update({parameter: calls for parameter, calls in mode.calls.items() if calls})


class _Sharing(TorchFunctionMode):
    """Replace convolutions that use given weights by `_Convolution`.

    Attributes:
        calls: the calls by weight and bias; those of one module share a list.
    """

    def __init__(self, modules: Iterable[nn.Conv1d | nn.Conv2d | nn.Conv3d]) -> None:
        super().__init__()
        self.calls: dict[Tensor, list[Product]] = {}
        for module in modules:
            calls: list[Product] = []
            own = (p for p in (module.weight, module.bias) if isinstance(p, nn.Parameter) and p.requires_grad)
            self.calls |= dict.fromkeys(own, calls)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run the function."""
        kwargs = kwargs or {}
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a in self.calls]
        if not given:
            return func(*args, **kwargs)
        calls = [self.calls[parameter] for parameter in given]
        if func in _DIMENSIONS and all(each is calls[0] for each in calls):
            call = _Call(*args, **kwargs)
            if call.can_share(_DIMENSIONS[func]):
                output, product = call.share(func)
                calls[0].append(product)
                return output
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.requires_grad:  # a way to the parameters that is not shared
            self.calls = {p: known for p, known in self.calls.items() if all(known is not c for c in calls)}
        return result


@dataclass(frozen=True)
class _Call:
    """The arguments of a convolution."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: int | Sequence[int] = 1
    padding: int | str | Sequence[int] = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1

    def can_share(self, dimensions: int) -> bool:
        """Tell whether the weight-gradient product can be written down, and is precise."""
        return (
            self.weight.requires_grad
            and torch.is_grad_enabled()
            and self.weight.dtype in (torch.float32, torch.float64)
            and not torch.is_autocast_enabled(self.weight.device.type)
            and not isinstance(self.padding, str)
            and self.input.ndim == dimensions + 2
            and not torch.compiler.is_compiling()
        )

    def share(self, func: Callable[..., Tensor]) -> tuple[Tensor, Product]:
        """Return the output, and the handle through which a second loss adds its gradient."""
        space = self.input.ndim - 2
        sizes = [_each(size, space) for size in (self.stride, self.padding, self.dilation)]
        weighs = [True]
        output, share = _Convolution.apply(
            func, (*sizes, self.groups), weighs, self.input, self.weight, self.bias
        )
        return output, Product(get_gradient_edge(output), share, weighs)


def _each(size: Any, space: int) -> list[int]:
    """Return one size per dimension."""
    given = [size] if isinstance(size, int) else list(size)
    return given * space if len(given) == 1 else given


class _Convolution(torch.autograd.Function):
    """A convolution, and a stand-in for its output whose gradient is for the weights alone."""

    @staticmethod
    def forward(
        ctx: Any,
        func: Callable[..., Tensor],
        sizes: tuple[Any, ...],
        weighs: list[bool],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.sizes, ctx.weighs = sizes, weighs
        ctx.save_for_backward(x, weight)
        output = func(x, weight, bias, *sizes)
        return output, output.new_zeros(()).expand(output.shape)

    @staticmethod
    def backward(ctx: Any, above: Tensor | None, share: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad[3:]
        of_input, of_weight, of_bias = None, None, None
        if above is not None and needs[0]:
            of_input = _gradients(above, x, weight, ctx.sizes, (True, False, False))[0]
        if ctx.weighs[0]:
            both = above if share is None else share if above is None else above + share
            if both is not None:
                of_weight, of_bias = _gradients(both, x, weight, ctx.sizes, (False, True, needs[2]))[1:]
        return None, None, None, of_input, of_weight, of_bias


def _gradients(
    above: Tensor, x: Tensor, weight: Tensor, sizes: tuple[Any, ...], mask: tuple[bool, bool, bool]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of input, weight and bias that the mask names."""
    stride, padding, dilation, groups = sizes
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        above, x, weight, [len(weight)], stride, padding, dilation, False, [0] * len(stride), groups, mask
    )
    return found
