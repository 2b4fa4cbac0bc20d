"""Objectives of inner layers (intra-model collaborative learning, equations 6 and 9), and their weights.

Computed in single precision at least, under autocast too.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from studygroup.functional.imitation import peer_targets
from studygroup.functional.similarity import Centre, Statistic, label_similarity, similarity_matrix
from studygroup.precision import single


def pull_push(
    similarity: Float[Tensor, "rows rows"],
    target: Float[Tensor, "rows rows"],
    source: Float[Tensor, "rows rows"],
    *,
    pull: float,
    push: float,
) -> Float[Tensor, ""]:
    """From similarities at hand, a ‖S(h) − S(y)‖_F − b ‖S(h) − S(x)‖_F (intra-model paper, equation 9).

    S(y) and S(x) are the same for all layers: compute them once a step. # reading: the norm itself, neither squared
    nor divided, as printed; its value grows with the number of rows. Its gradient at 0 is 0.

    Args:
        similarity: S(h) of the layer's projected representation.
        target: S(y) of the labels.
        source: S(x) of the input.
        pull: a, towards the labels.
        push: b, away from the input.
    """
    to_labels: Tensor = torch.linalg.vector_norm(similarity - target)
    to_input: Tensor = torch.linalg.vector_norm(similarity - source)
    return pull * to_labels - push * to_input


def pull_push_loss(
    h: Float[Tensor, "rows channels *space"],
    x: Float[Tensor, "rows input_channels *input_space"],
    y: Int[Tensor, " rows"],
    *,
    classes: int,
    pull: float,
    push: float,
    centre: Centre = "channels",
    input_statistic: Statistic = "deviation",
) -> Float[Tensor, ""]:
    """Pulls a layer's representation to the labels and pushes it from the input: `pull_push` of the three.

    Args:
        h: the layer's representation after its projection, g(h).
        x: the input; it gets a gradient if it requires one.
        y: class indices.
        classes: length of the one-hot rows.
        pull: a; see `linear_over_depth`.
        push: b.
        centre: of all three similarities, see `similarity_matrix`.
        input_statistic: of the input. The three deviations of a colour picture have little to say: two rows centred
            over three channels lie on a circle; `"flatten"` compares the pictures.

    Raises:
        ValueError: as `similarity_matrix`.
    """
    own = similarity_matrix(h, centre=centre)
    target = label_similarity(y, classes=classes, centre=centre, dtype=own.dtype)
    source = similarity_matrix(x, centre=centre, statistic=input_statistic)
    return pull_push(own, target, source, pull=pull, push=push)


def local_targets(
    logits: Float[Tensor, "layers rows classes"], temperature: float
) -> Float[Tensor, "layers-1 rows classes"]:
    """What each inner layer's classifier is to imitate: the mean answer of all above it, the network's included.

    q_i = ψ((1/(L−i)) Σ_{j=i+1..L} z_j; T), L the network's output (intra-model paper, equation 6).
    # reading: the printed sum begins at j = i, has L−i+1 terms and divides by L−i, which is 0 at i = L. Beginning
    at i+1 the number of terms fits, and no layer imitates itself, as in equations 2 and 4.

    Args:
        logits: z from the lowest layer to the last, which is the network's own output.
        temperature: T > 0.

    Returns:
        Probabilities without gradient: with one, the layers above would train the layer below.

    Raises:
        ValueError: a temperature that is not positive.
    """
    layers = len(logits)
    above = torch.arange(layers - 1, -1, -1, device=logits.device).clamp(min=1)
    with torch.autocast(logits.device.type, enabled=False):
        z = single(logits.detach())
        listens = torch.ones(layers, layers, dtype=z.dtype, device=z.device).triu(1) / above[:, None]
        return peer_targets(z, listens, temperature)[:-1]


def linear_over_depth(layers: int, start: float, end: float) -> tuple[float, ...]:
    """Weights of layers from the input to the output, in equal steps; a single layer has the last weight.

    In the intra-model paper a pull rises and a push falls so (equation 9). # reading: the ends are not printed; 0 to
    1 and 1 to 0 let the first layer only leave the input and the last only come to the labels.

    Args:
        layers: how many, at least 1.
        start: weight of the layer next to the input.
        end: weight of the layer next to the output.

    Raises:
        ValueError: no layers.
    """
    if layers < 1:
        raise ValueError(f"weights for {layers} layers; there must be at least 1")
    shares = [layer / (layers - 1) for layer in range(layers)] if layers > 1 else [1.0]
    return tuple((1 - share) * start + share * end for share in shares)
