"""The share of a network that its students have in common: layers, as in CGL's figure 5, and parameters."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from studygroup.analysis.base import Analysis, Found, Run
from studygroup.analysis.pairs import pairs_of
from studygroup.layers import blocks
from studygroup.routes import Routes
from studygroup.trust import NotAllowedError
from studygroup.untrusted import read_text


def layer_sharing(routes: Routes, net: nn.Module) -> dict[str, float]:
    """Return, for each layer, routed or common to all, the share of pairs of students that have all of it in common.

    Layers are those of `studygroup.layers.blocks`, the stem and the blocks, without the classifier. The paper's
    sharing ratio is their mean.

    Args:
        routes: the route table of at least two students.
        net: one student's plain network; only the shapes of its parameters matter.

    Raises:
        ValueError: one student, or a network in which no layers are found.
    """
    layers = [(names,) if isinstance(names, str) else names for names in blocks(net)]
    own = {", ".join(names): [row for name in names for row in _rows(routes, net, name)] for names in layers}
    return {layer: _common(rows, routes.students) for layer, rows in own.items()}


def parameter_sharing(routes: Routes, net: nn.Module) -> float:
    """Return the share of a student's parameters, classifier included, that another also has, mean over pairs.

    Args:
        routes: the route table of at least two students.
        net: as for `layer_sharing`.

    Raises:
        ValueError: one student.
    """
    found = [
        (p.numel(), _common([_row(routes, name)], routes.students)) for name, p in net.named_parameters()
    ]
    return sum(count * share for count, share in found) / sum(count for count, _ in found)


@dataclass(frozen=True, kw_only=True)
class Sharing(Analysis):
    """The share of the network that students have in common: layer by layer, and of the parameters."""

    def __call__(self, run: Run, *, device: str = "auto") -> Found:
        """Read the route table of a run and the shapes of its shipped network.

        Args:
            run: the folder of a finished run.
            device: ignored.

        Raises:
            ValueError: the folder holds no finished run, the run has one student, or its files are damaged.
        """
        from studygroup.training.export import load_net
        from studygroup.training.folder import RunFolder  # which needs the extra `train`

        folder = RunFolder(Path(run.path))
        folder.read_summary()  # there is one of finished runs alone
        if not folder.routes.exists():
            raise ValueError(f"{folder.routes} is missing; train the run again in a new folder")
        try:
            routes = Routes.from_json(read_text(folder.routes, folder=folder.path))
        except NotAllowedError:
            raise
        except ValueError as error:
            raise ValueError(f"{folder.routes} cannot be read ({error})") from error
        net = load_net(folder.weights)
        layers = layer_sharing(routes, net)
        return {
            "students": routes.students,
            "layers": layers,
            "sharing": statistics.fmean(layers.values()),
            "parameters": parameter_sharing(routes, net),
        }

    def asked(self, found: Found) -> str:
        """Return the number of students."""
        return f"{found['students']} students"

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return one row per layer, then the means."""
        layers: Mapping[str, float] = found["layers"]
        return [
            ("layer", "shared by so many pairs"),
            *((name, f"{share:.1%}") for name, share in layers.items()),
            ("mean over layers", f"{found['sharing']:.1%}"),
            ("of the parameters, classifier included", f"{found['parameters']:.1%}"),
        ]


def _rows(routes: Routes, net: nn.Module, name: str) -> list[Sequence[int]]:
    """Return which student takes which module, for each parameter in a layer."""
    return [_row(routes, f"{name}.{own}") for own, _ in net.get_submodule(name).named_parameters()]


def _row(routes: Routes, parameter: str) -> Sequence[int]:
    """Return each student's module that holds a parameter: the same for all where it lies in no routed layer."""
    holds = (
        row
        for layer, row in zip(routes.layers, routes.table, strict=True)
        if not layer or parameter.startswith(f"{layer}.")
    )
    return next(holds, (0,) * routes.students)


def _common(rows: Sequence[Sequence[int]], students: int) -> float:
    """Return the share of pairs that take the same modules throughout."""
    pairs = pairs_of(students)
    return sum(all(row[a] == row[b] for row in rows) for a, b in pairs) / len(pairs)
