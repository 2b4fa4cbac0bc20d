"""What functions with a gradient in closed form share."""

import torch


def refuse_second_derivative(name: str) -> None:
    """Call it first in a backward: its result would be taken for a constant, silently.

    Raises:
        RuntimeError: a graph of the backward pass is asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} can be differentiated once, and a graph of its gradient is asked for; call backward without "
            "create_graph=True, or leave this term out of the total"
        )
