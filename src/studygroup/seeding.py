"""Random draws that depend only on their names: a step can be replayed on any rank, in any order."""

import hashlib

import torch

from studygroup.checks import check_whole


def derive(seed: int, *path: int | str) -> int:
    """Derive a new seed from a seed and the path of a draw.

    Args:
        seed: the user's seed.
        path: names the draw, such as `("listen", step)`. Equal paths give equal seeds.

    Returns:
        An integer in [0, 2**63), equal on all machines and versions of Python.

    Raises:
        ValueError: the seed is no whole number.
    """
    text = "/".join(str(part) for part in (check_whole("seed", seed), *path))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *path: int | str) -> torch.Generator:
    """Return a CPU generator for the draw that `path` names, see `derive`."""
    return torch.Generator().manual_seed(derive(seed, *path))
