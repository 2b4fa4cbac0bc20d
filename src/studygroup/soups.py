"""One network out of several: averages of weights, of all or of those that help on hold-out rows (model soups)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup._engine.isolate import without_side_effects
from studygroup.checks import check_networks
from studygroup.shipping import accuracies, accuracy_of
from studygroup.task import CollaborativeLearning

Refit = Callable[[nn.Module], Any]


@dataclass(frozen=True)
class Soup:
    """An average of some students' weights.

    Attributes:
        network: the plain network, in evaluation mode.
        students: whose weights are in it, in the order in which they were taken.
        accuracy: share of right answers on the rows by which they were chosen, in [0, 1].
        best: the same of the best student alone; `accuracy` is never below.
    """

    network: nn.Module
    students: tuple[int, ...]
    accuracy: float
    best: float


def uniform_soup(networks: Sequence[nn.Module], *, refit: Refit | None = None) -> nn.Module:
    """Return a network with the mean of several networks' weights (Wortsman et al. 2022).

    A mean of weights is of use where the networks have trained from one start, and so lie in one basin; networks
    that start apart have a mean near chance. `greedy_soup` takes only what helps on hold-out rows.

    Args:
        networks: of one architecture, such as `task.shipped.export(k)` for all students. They are left as they are.
        refit: gives the new network the batch-norm statistics of its own activations, such as
            `lambda net: torch.optim.swa_utils.update_bn(train_loader, net)`; it is called in training mode.

    Returns:
        A copy of the first network, in evaluation mode: the mean of every floating-point tensor, taken in double
        precision, and what all have equal.

    Raises:
        ValueError: no network, networks of several architectures, tensors of whole numbers that differ (counters of
            batches apart), or batch norms with running statistics and no `refit`.
    """
    check_networks(networks)
    states = [network.state_dict() for network in networks]
    for number, state in enumerate(states):
        _check_alike(states[0], state, number)
    soup = duplicate(networks[0])
    if len(networks) > 1:
        norm = next((name for name, one in soup.named_modules() if _has_statistics(one)), None)
        if norm is not None and refit is None:
            raise ValueError(
                f"batch norm {norm!r} keeps running statistics, and their mean is not what the averaged network's "
                "activations have; hand in refit=lambda net: torch.optim.swa_utils.update_bn(train_loader, net)"
            )
        soup.load_state_dict({name: _mean([state[name] for state in states], name) for name in states[0]})
        if norm is not None and refit is not None:
            refit(soup.train())
    return soup.eval()


def greedy_soup(task: CollaborativeLearning, batches: Iterable[Any], *, refit: Refit | None = None) -> Soup:
    """Return the mean of those students' weights that together are best on hold-out rows (Wortsman et al. 2022).

    Students are taken in the order of their accuracy, the best first; each one stays if the mean with it is at least
    as accurate as without. So what is returned is, on these rows, never below the best student.

    Args:
        task: the students of its `shipped` group are averaged.
        batches: hold-out rows as for `sg.accuracies`, a list or a loader that starts anew each time; never the test
            rows, on which what ships is scored.
        refit: as for `uniform_soup`.

    Raises:
        ValueError: batches that can be read once only, or as `uniform_soup` and `sg.accuracies`.

    Example:
        >>> net = sg.greedy_soup(task, holdout_loader).network
    """
    if isinstance(batches, Iterator):
        raise ValueError(
            "batches can be read once only, and every mean is scored on all of them; hand in a list or a loader"
        )
    group, alone = task.shipped, accuracies(task, batches)
    networks = [group.export(student) for student in range(group.students)]
    order = sorted(range(len(networks)), key=lambda student: -alone[student])
    taken, best = [order[0]], alone[order[0]]
    soup = uniform_soup([networks[order[0]]])
    for student in order[1:]:
        more = uniform_soup([networks[one] for one in (*taken, student)], refit=refit)
        with without_side_effects(more, training=False):
            found = accuracy_of(more, batches, task.criterion)
        if found >= best:
            taken, best, soup = [*taken, student], found, more
    return Soup(soup, tuple(taken), best, alone[order[0]])


def _check_alike(first: dict[str, Tensor], state: dict[str, Tensor], number: int) -> None:
    """Refuse a network whose tensors are not those of the first."""
    odd = sorted(first.keys() ^ state.keys())
    if odd:
        raise ValueError(
            f"networks 0 and {number} do not both have {odd[0]!r}; weights are averaged of one architecture alone"
        )
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape != first[name].shape:
            raise ValueError(
                f"{name!r} has shape {tuple(first[name].shape)} in network 0 and {tuple(value.shape)} in network "
                f"{number}; weights are averaged of one architecture alone"
            )


def _mean(values: Sequence[Any], name: str) -> Any:
    """Return the mean in double precision, rounded to the first one's type; what is no real number as it is."""
    first = values[0]
    if not isinstance(first, Tensor):
        return first
    if first.is_floating_point() or first.is_complex():
        wide = torch.complex128 if first.is_complex() else torch.float64
        return torch.stack([value.to(first.device, wide) for value in values]).mean(0).to(first.dtype)
    if not name.endswith("num_batches_tracked") and any(not torch.equal(first, value) for value in values):
        raise ValueError(f"{name!r} holds {first.dtype} that differ between networks, which have no mean")
    return first


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None
