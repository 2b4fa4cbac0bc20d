"""Convolutions whose weights learn from two gradients in one product."""

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
    """A convolution that was called, as a loss sees it that is to train its weights and nothing below.

    The weights' gradient is linear in the output's. So what such a loss gives to `share` is added to the gradient
    that the output has from all else, before their product is taken, and goes no further down: the loss costs no
    product of its own. Give it by a node that has `share` among its inputs.

    Attributes:
        output: the convolution's output in the graph: where to take the loss's gradient.
        share: stands for the output, has its shape and takes no memory.
        weighs: whether gradients that come through are meant for the weights; one element.
    """

    output: GradientEdge
    share: Tensor
    weighs: list[bool]


@contextmanager
def passing(products: Iterable[Product]) -> Iterator[None]:
    """Inside, gradients that come through convolutions go to what lies below and not to the weights."""
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
    """Inside, convolutions can share their product of weights; what they compute is the same.

    Only in single or double precision, without autocast: in half precision the smaller of two gradients may be lost
    in their sum.

    Args:
        modules: whose convolutions, with all that they hold.

    Yields:
        At the end, by weight and bias, the convolutions that were called with them. None of a parameter that other
        functions were called with too: its gradient comes by autograd alone.
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
    """Puts `_Convolution` in the place of convolutions by some weights.

    Attributes:
        calls: by weight and bias; those of one module have one list.
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
        """Tell whether the product of weights can be written down, and is precise."""
        return (
            self.weight.requires_grad
            and self.weight.dtype in (torch.float32, torch.float64)
            and not torch.is_autocast_enabled(self.weight.device.type)
            and not isinstance(self.padding, str)
            and self.input.ndim == dimensions + 2
            and not torch.compiler.is_compiling()
        )

    def share(self, func: Callable[..., Tensor]) -> tuple[Tensor, Product]:
        """Return the output, and what a second loss needs of the call."""
        space = self.input.ndim - 2
        sizes = [_each(size, space) for size in (self.stride, self.padding, self.dilation)]
        weighs = [True]
        output, share = _Convolution.apply(
            func, (*sizes, self.groups), weighs, self.input, self.weight, self.bias
        )
        return output, Product(get_gradient_edge(output), share, weighs)


def _each(size: Any, space: int) -> list[int]:
    """Return a size for each dimension."""
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
    """Of input, weight and bias, those that the mask names."""
    stride, padding, dilation, groups = sizes
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        above, x, weight, [len(weight)], stride, padding, dilation, False, [0] * len(stride), groups, mask
    )
    return found
