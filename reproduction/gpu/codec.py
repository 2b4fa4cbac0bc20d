"""Pack pictures of 5 bits per channel losslessly, and unpack them with torch alone, on any device.

Every picture is a separate stream, so that all are unpacked in parallel, pixel by pixel: a pixel is predicted from
its neighbours (the median rule of LOCO-I, Weinberger et al. 2000; red and blue as differences from green), and the
residual is coded by range asymmetric numeral systems (Duda 2013) with the frequencies of its context: how much the
neighbours vary, and the residual of the previous channel. CIFAR-100 takes 1.9 bits per value, WebP 2.4.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LEVELS = 32  # of 5 bits
_PRECISION = 12  # bits of a frequency
_ORDER = (1, 0, 2)  # green, then red and blue as differences from it
_VARIATION = torch.tensor([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 24])
_OFF = 8  # residuals beyond count as this one
_CONTEXTS = len(_ORDER) * (len(_VARIATION) + 1) * (2 * _OFF + 1)

Values = Callable[[int, int, int, Tensor, Tensor], Tensor]
"""Maps row, column, channel, and every picture's context and prediction to the true values."""


def pack(images: Tensor) -> dict[str, Any]:
    """Pack pictures.

    Args:
        images: uint8 (pictures, 3, height, width), each value v as (v & 0xF8) | 4.

    Returns:
        Tensors and sizes for `torch.save` and `unpack`.

    Raises:
        ValueError: values of more than 5 bits.
    """
    if ((images & 7) != 4).any():
        raise ValueError(
            "the pictures have more than 5 bits a channel; round each value v to (v & 0xF8) | 4 before"
        )
    count, _, height, width = images.shape
    values = (images >> 3).permute(2, 3, 1, 0).contiguous()
    symbols, contexts = [], []

    def note(row: int, column: int, channel: int, context: Tensor, predicted: Tensor) -> Tensor:
        value = values[row, column, channel].to(torch.int16)
        symbols.append(((value - predicted) & (LEVELS - 1)).to(torch.uint8))
        contexts.append(context.to(torch.int16))
        return value

    _walk(height, width, count, images.device, note)
    frequencies = _frequencies(symbols, contexts)
    states, words = _encode(symbols, contexts, frequencies)
    return {
        "size": (count, height, width),
        "frequencies": frequencies.to(torch.int16),
        "states": _halves(states),
        "words": words.to(torch.int16),
    }


def unpack(packed: dict[str, Any], device: torch.device) -> Tensor:
    """Return the pictures that were given to `pack`, on a device."""
    count, height, width = packed["size"]
    frequencies = packed["frequencies"].to(device, torch.int64)
    starts = (frequencies.cumsum(1) - frequencies).flatten()
    slots = _slots(frequencies)
    states = _joined(packed["states"].to(device))
    words = packed["words"].to(device)
    at = torch.zeros((), dtype=torch.int64, device=device)
    images = torch.empty(height, width, 3, count, dtype=torch.uint8, device=device)
    frequencies = frequencies.flatten()
    mask = (1 << _PRECISION) - 1

    def decode(row: int, column: int, channel: int, context: Tensor, predicted: Tensor) -> Tensor:
        nonlocal states, at
        slot = states & mask
        symbol = slots[(context << _PRECISION) + slot]
        place = context * LEVELS + symbol
        states = frequencies[place] * (states >> _PRECISION) + slot - starts[place]
        low = states < 1 << 16
        places = at + low.cumsum(0)
        word = words[(places - 1).clamp(0, max(len(words) - 1, 0))].to(torch.int64) & 0xFFFF
        states = torch.where(low, (states << 16) | word, states)
        at = places[-1]
        value = (predicted + symbol.to(torch.int16)) & (LEVELS - 1)
        images[row, column, channel] = (value << 3 | 4).to(torch.uint8)
        return value

    if len(words) == 0:  # one symbol has nearly all the probability everywhere
        words = torch.zeros(1, dtype=torch.int16, device=device)
    _walk(height, width, count, device, decode)
    return images.permute(3, 2, 0, 1).contiguous()


def _walk(height: int, width: int, count: int, device: torch.device, values: Values) -> None:
    """Visit all pictures at once, value by value, with context and prediction of each."""
    # planes stand with a margin: a row above, a column on either side
    planes = torch.zeros(height + 1, width + 2, 3, count, dtype=torch.int16, device=device)
    variation = _VARIATION.to(device)
    for row in range(height):
        planes[row + 1, 0] = planes[row, 1]
        for column in range(width):
            green = off = planes.new_zeros(count)
            for plane, channel in enumerate(_ORDER):
                left, corner = planes[row + 1, column, plane], planes[row, column, plane]
                above, ahead = planes[row, column + 1, plane], planes[row, column + 2, plane]
                median = (left + above - corner).clamp(torch.minimum(left, above), torch.maximum(left, above))
                predicted = (median + green).clamp(0, LEVELS - 1)
                varies = (left - corner).abs() + (corner - above).abs() + (above - ahead).abs()
                bucket = torch.bucketize(varies.to(torch.int64), variation, right=True)
                context = bucket + plane * (len(variation) + 1)
                context = context * (2 * _OFF + 1) + off.clamp(-_OFF, _OFF) + _OFF
                value = values(row, column, channel, context, predicted)
                off = value - predicted
                planes[row + 1, column + 1, plane] = value - green
                green = green if plane else value
        planes[row + 1, width + 1] = planes[row + 1, width]


def _frequencies(symbols: list[Tensor], contexts: list[Tensor]) -> Tensor:
    """Count symbols by context: (contexts, levels), each at least 1, each row of sum 2^12."""
    counts = torch.zeros(_CONTEXTS * LEVELS, dtype=torch.int64)
    for symbol, context in zip(symbols, contexts, strict=True):
        counts += torch.bincount(context.to(torch.int64) * LEVELS + symbol, minlength=len(counts))
    table = counts.view(_CONTEXTS, LEVELS)
    table = table + (table.sum(1, keepdim=True) == 0)  # a context that never came: all alike
    shared = (1 << _PRECISION) - LEVELS
    found = table * shared // table.sum(1, keepdim=True) + 1
    found[torch.arange(_CONTEXTS), found.argmax(1)] += (1 << _PRECISION) - found.sum(1)
    return found


def _encode(symbols: list[Tensor], contexts: list[Tensor], frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Code from the last symbol to the first; return final states, and words in reading order."""
    starts = (frequencies.cumsum(1) - frequencies).flatten()
    flat = frequencies.flatten()
    states = torch.full((len(symbols[0]),), 1 << 16, dtype=torch.int64)
    words = []
    for symbol, context in zip(reversed(symbols), reversed(contexts), strict=True):
        place = context.to(torch.int64) * LEVELS + symbol
        frequency = flat[place]
        full = states >= frequency << (32 - _PRECISION)
        words.append((states[full] & 0xFFFF).to(torch.int32))
        states = torch.where(full, states >> 16, states)
        states = ((states // frequency) << _PRECISION) + states % frequency + starts[place]
    return states, torch.cat(words[::-1])


def _slots(frequencies: Tensor) -> Tensor:
    """Return the symbol of each of the 2^12 slots of each context, one context after the other."""
    symbols = torch.arange(LEVELS, device=frequencies.device).repeat(_CONTEXTS)
    return symbols.repeat_interleave(frequencies.flatten(), output_size=_CONTEXTS << _PRECISION)


def _halves(states: Tensor) -> Tensor:
    """Split numbers of 32 bits into two columns of 16."""
    return torch.stack([states >> 16, states & 0xFFFF], dim=1).to(torch.int16)


def _joined(halves: Tensor) -> Tensor:
    high, low = (half.to(torch.int64) & 0xFFFF for half in halves.unbind(1))
    return high << 16 | low
