"""The width of the minimum that training found: accuracy under noise on the parameters (CGL, figure 6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup.analysis.answers import Batches, fit_of
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks
from studygroup.seeding import generator


def noisy_accuracy(
    net: nn.Module,
    batches: Batches,
    *,
    sigmas: Sequence[float],
    draws: int,
    seed: int,
    relative: bool = False,
) -> Float[Tensor, "sigmas draws"]:
    """Return the accuracy after adding Gaussian noise of growing size to all parameters, in evaluation.

    Noise is added to a copy: the network itself is left unchanged. Running statistics get none. One draw serves all
    sizes (θ + σ ε with the same ε), so that a curve does not fluctuate from point to point by chance; draws are made
    on the CPU, and equal shapes get equal noise, so that networks of one architecture are compared on the same noise.

    Args:
        net: returns logits (N, classes).
        batches: the rows, iterated `len(sigmas) × draws` times.
        sigmas: standard deviations of the noise, 0 or more.
        draws: number of draws for each, at least 1.
        seed: seed of the draws.
        relative: whether σ is in units of each parameter tensor's own standard deviation; otherwise it is the same
            for all, as the paper prints it.

    Returns:
        Shares of correct predictions in [0, 1]; a row with a logit that is not a number counts as wrong.

    Raises:
        ValueError: no sizes, a negative one, or no draws.
    """
    if draws < 1 or not sigmas or min(sigmas) < 0:
        raise ValueError(
            f"sigmas {tuple(sigmas)} and {draws} draws; give at least one draw, and sizes of 0 or more"
        )
    noisy, found = duplicate(net), []
    for draw in range(draws):
        noise = list(_noise(net, generator(seed, "flatness", draw), relative=relative))
        for sigma in sigmas:
            move(noisy, net, noise, sigma)
            found.append(fit_of(noisy, batches).mean[1])
    return torch.stack(found).view(draws, len(sigmas)).T


def _noise(net: nn.Module, draw: torch.Generator, *, relative: bool) -> Iterator[Tensor]:
    for parameter in net.parameters():
        noise = torch.randn(parameter.shape, generator=draw).to(parameter)
        yield noise * parameter.detach().std(correction=0) if relative else noise


@torch.no_grad()
def move(copy: nn.Module, net: nn.Module, change: Sequence[Tensor], by: float) -> None:
    """Set the parameters of a copy of a network to θ + by · change."""
    for own, parameter, direction in zip(copy.parameters(), net.parameters(), change, strict=True):
        torch.add(parameter, direction, alpha=by, out=own)


@dataclass(frozen=True, kw_only=True)
class Flatness(OfNetworks):
    """Accuracy of the shipped network under Gaussian noise on its parameters, of growing standard deviation.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
        sigmas: standard deviations of the noise, growing.
        draws: number of noise draws for each; the accuracy is their mean.
        reference: the value among `sigmas` at which the drop is reported.
        relative: whether sigmas are in units of each parameter tensor's own standard deviation, which does not
            depend on the scale of weights before a batch normalisation; otherwise absolute, as in the paper.
        seed: seed of the draws.
    """

    sigmas: tuple[float, ...] = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
    draws: int = 5
    reference: float = 0.02
    relative: bool = False
    seed: int = 0

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return mean and standard deviation over draws for each sigma, and by how many points accuracy falls."""
        self._check()
        clean = float(fit_of(networks.shipped, networks.batches).finite().mean[1])
        noisy = noisy_accuracy(
            networks.shipped,
            networks.batches,
            sigmas=self.sigmas,
            draws=self.draws,
            seed=self.seed,
            relative=self.relative,
        )
        each = noisy.cpu().double()
        accuracy = each.mean(1)
        return {
            "clean": clean,
            "sigmas": list(self.sigmas),
            "draws": self.draws,
            "accuracy": accuracy.tolist(),
            "std": each.std(1).tolist() if self.draws > 1 else None,
            "drop": 100 * (clean - float(accuracy[self.sigmas.index(self.reference)])),
            "reference": self.reference,
            "relative": self.relative,
            "student": networks.student,
        }

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return accuracy and drop for each sigma."""
        unit = "sigma / std of the tensor" if found["relative"] else "sigma"
        # a single draw has no deviation
        std = [f"{one:.2%}" for one in found["std"]] if found["draws"] > 1 else [""] * len(found["sigmas"])
        values = zip(found["sigmas"], found["accuracy"], std, strict=True)
        return [
            (
                unit,
                "accuracy",
                f"± over {found['draws']} draws" if found["draws"] > 1 else "",
                "drop, points",
            ),
            ("0", f"{found['clean']:.2%}", "", ""),
            *((f"{s:g}", f"{a:.2%}", d, f"{100 * (found['clean'] - a):.2f}") for s, a, d in values),
        ]

    def _check(self) -> None:
        if self.reference not in self.sigmas:
            raise ValueError(
                f"reference is {self.reference}, which is not among sigmas {self.sigmas}; give one that is"
            )
        if any(second <= first for first, second in pairwise(self.sigmas)):
            raise ValueError(f"sigmas are {self.sigmas}; give them growing, each once")
