"""Pull and push (intra-model collaborative learning, equation 9), and weights over depth."""

import torch
from jaxtyping import Float
from torch import Tensor

from studygroup.checks import check_number, check_whole


def pull_push(
    similarity: Float[Tensor, "rows rows"],
    target: Float[Tensor, "rows rows"],
    source: Float[Tensor, "rows rows"],
    *,
    pull: float,
    push: float,
) -> Float[Tensor, ""]:
    """Return a ‖S(h) − S(y)‖_F − b ‖S(h) − S(x)‖_F from given similarities (intra-model paper, equation 9).

    S(y) and S(x) are the same for all layers: compute them once per step. The gradient of a norm at 0 is 0.

    Reading:
        The norm itself, neither squared nor divided, as printed; its value grows with the number of rows.

    Args:
        similarity: S(h) of the layer's projected representation.
        target: S(y) of the labels.
        source: S(x) of the input.
        pull: a, towards the labels.
        push: b, away from the input.

    Raises:
        ValueError: similarities of other shapes than S(h), or weights that are no finite numbers.
    """
    pull, push = check_number("pull", pull), check_number("push", push)
    for name, other in (("target", target), ("source", source)):
        if other.shape != similarity.shape:
            raise ValueError(
                f"{name} of shape {tuple(other.shape)} for a similarity of {tuple(similarity.shape)}; hand in the "
                "similarities of the same rows"
            )
    to_labels: Tensor = torch.linalg.vector_norm(similarity - target)
    to_input: Tensor = torch.linalg.vector_norm(similarity - source)
    return pull * to_labels - push * to_input


def linear_over_depth(layers: int, start: float, end: float) -> tuple[float, ...]:
    """Return weights of layers from the input to the output, in equal steps; a single layer has the last weight.

    In the intra-model paper the pull rises and the push falls in this way (equation 9).

    Reading:
        The ends are not printed; with 0 to 1 and 1 to 0 the first layer is only pushed from the input and the last
        only pulled to the labels.

    Args:
        layers: number of layers, at least 1.
        start: weight of the layer next to the input.
        end: weight of the layer next to the output.

    Raises:
        ValueError: no layers, or an end that is no finite number.
    """
    check_whole("layers", layers, least=1)
    start, end = check_number("start", start), check_number("end", end)
    shares = [layer / (layers - 1) for layer in range(layers)] if layers > 1 else [1.0]
    return tuple((1 - share) * start + share * end for share in shares)
