"""Feature Fusion Learning (FFL, ICPR 2020)."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup.checks import check_choice, check_flag, check_number, check_pair
from studygroup.functional import masked_mean
from studygroup.functional.precision import as_weights, single
from studygroup.group import Group, Init
from studygroup.inputs import Inputs, Table, sees_table
from studygroup.objectives import Capture, Ensemble, Imitation, Objective, Step, Supervised, probe
from studygroup.objectives.criteria import Comparison
from studygroup.outputs import Outputs
from studygroup.peers import branched
from studygroup.routes import Layer, independent
from studygroup.schedules import Schedule, ramp_up
from studygroup.task import CollaborativeLearning
from studygroup.teachers import OneTeacher, pooled
from studygroup.teachers.base import Labels, check_one_answer
from studygroup.teachers.learned import Pool

_PAPER = """@misc{kim2019feature,
  author        = {Kim, Jangho and Hyun, Minsung and Chung, Inseop and Kwak, Nojun},
  title         = {Feature Fusion for Online Mutual Knowledge Distillation},
  year          = {2019},
  eprint        = {1904.09058},
  archiveprefix = {arXiv}
}"""
_NOTHING = Capture()


def ffl(
    model: nn.Module,
    *,
    layers: Iterable[Layer] | None = None,
    example: Inputs,
    students: int = 2,
    maps: str | None = None,
    temperature: float = 3.0,
    ramp: tuple[float, float] = (0.0, 80 / 300),
    scale_by_t2: bool = True,
    ships: Literal["sub-network", "fused"] = "sub-network",
    pool: Pool = pooled,
    init: Init = "fresh",
) -> CollaborativeLearning:
    """Train parallel sub-networks and a classifier over their fused feature maps, which teach each other (Kim 2019).

    L = Σ_k CE_k + CE_f + w(t) T² [KL(ψ(z_e; T) ‖ ψ(z_f; T)) + Σ_k KL(ψ(z_f; T) ‖ ψ(z_k; T))], z_k the answer of
    sub-network k, z_e = 1/K Σ_k z_k their ensemble, z_f that of the fused classifier (`FusedClassifier`): the
    ensemble teaches the fused classifier, which teaches every sub-network. Targets are constants; CE_f and the
    ensemble's imitation loss train the sub-networks, too, through their feature maps.

    Reading:
        Losses, w(t), T and that targets are constants are those of the authors' public code, which adds 1e-7 to
        targets (not so here, as everywhere); they were not checked against the paper's text.

    Departs:
        One optimiser, where that code gives the fusion module a weight decay of its own. A network without feature
        maps is fused at the pooled input of its classifier, a map of one pixel.

    Args:
        model: the network to train and ship, or `Peers` whose layers of one name, `maps`, have equal outputs.
        layers: names of the layers of a sub-network, classifier included; omitted, the last group of blocks, as in
            that code, and the head, see `layers.last_group`. `[""]`, the whole model, makes networks that share
            nothing. Not asked of `Peers`.
        example: one batch; run without gradient and without side effects, it tells the sizes of the maps.
        students: K = 2 in the public code.
        maps: name of the layer whose output is the last feature map, channels before space; empty, the pooled input
            of the classifier. Omitted, the last of `layers` with an output of four axes, and empty where none has
            one.
        temperature: T = 3.
        ramp: start and end of w(t) = exp(−5 (1 − t/t_r)²) as shares of training; 80 of 300 epochs there.
        scale_by_t2: multiply both imitations by T².
        ships: whether any `"sub-network"` ships, as a plain network, or all of them with the fusion module, the
            `"fused"` classifier, as one module: `task.shipped.export(0)`.
        pool: maps a classifier's input that is no map to (rows, width), see `teachers.pooled`.
        init: how the second and further sub-networks start, see `StudyGroup`.

    Raises:
        ValueError: `ships` is neither, a layer that the model does not have, or `maps` whose output is no map.
    """
    check_choice("ships", ships, ("sub-network", "fused"))
    group = model if isinstance(model, Group) else branched(model, layers, students=students, init=init)
    among = () if group is model else group.routes.layers
    fused = _fused(group, example, maps=maps, among=among, pool=pool)
    weight = ramp_up(*check_pair("ramp", ramp))
    objectives = [
        Supervised(),
        Ensemble(fused, name="fused"),
        Imitation(fused, temperature=temperature, weight=weight, scale_by_t2=scale_by_t2),
        FromEnsemble(fused, temperature=temperature, weight=weight, scale_by_t2=scale_by_t2),
    ]
    exports = FusedGroup(group, fused) if ships == "fused" else None
    return CollaborativeLearning(group, objectives, exports=exports)


class FusedClassifier(OneTeacher):
    """All sub-networks listen to one classifier over all their feature maps.

    z_f = W mean(ReLU(BN(P * ReLU(BN(D * [F_1, ..., F_K]))))) + b: F_k is the last feature map of sub-network k, [...]
    the concatenation along the channels, D a 3×3 convolution of each channel by itself (depthwise), P a 1×1
    convolution to the channels of one map (pointwise), the mean is over space. Maps of one pixel have a D of 1×1.

    Args:
        maps: name of the layer whose output is the map; empty for the input of the classifier.
        shape: (students, rows, channels, height, width) of the maps.
        classes: number of classes.
        pool: maps a classifier's input that is no map to (rows, width), see `teachers.pooled`.
    """

    sources = (_PAPER,)

    def __init__(self, maps: str, *, shape: tuple[int, ...], classes: int, pool: Pool = pooled) -> None:
        super().__init__()
        students, _, channels, *space = shape
        self.maps, self.pool = maps, pool
        self.capture = _capture(maps)
        wide, kernel = students * channels, 1 if max(space) == 1 else 3
        self.fusion = nn.Sequential(
            nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, classes),
        )

    def answer(self, outputs: Outputs) -> Float[Tensor, "rows classes"]:
        """Return the fused classifier's logits."""
        maps = _maps(outputs, self.maps, self.pool)
        logits: Tensor = self.fusion(as_weights(maps.transpose(0, 1).flatten(1, 2), self.fusion))
        return logits

    def logits(self, answers: Outputs, y: Labels) -> Float[Tensor, "students rows classes"]:
        """Return the same, for every sub-network.

        Raises:
            ValueError: the sub-networks answer at several places of a row.
        """
        check_one_answer("FusedClassifier", answers)
        return single(self.answer(answers)).expand_as(answers.logits)


class FromEnsemble(Objective):
    """The fused classifier imitates the mean of the sub-networks' logits: KL(ψ(z_e; T) ‖ ψ(z_f; T)).

    Args:
        fused: the fused classifier, which imitates.
        temperature: T > 0.
        weight: weight in the total: a number or a function of progress.
        scale_by_t2: multiply by T².
    """

    sources = (_PAPER,)
    moves_teachers = True

    def __init__(
        self, fused: OneTeacher, *, temperature: float, weight: float | Schedule, scale_by_t2: bool
    ) -> None:
        super().__init__(name="from_ensemble", weight=weight)
        self.teachers = (fused,)
        self.temperature = check_number("temperature", temperature, above=0)
        self.scale_by_t2 = check_flag("scale_by_t2", scale_by_t2)

    def loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the mean over all rows."""
        fused = step.hear(self.teachers[0]).logits[:1]
        with torch.autocast(fused.device.type, enabled=False):
            ensemble = single(step.answers.logits.detach()).mean(0, keepdim=True)
            spread, how = step.criterion.spread, Comparison(self.temperature, scale_by_t2=self.scale_by_t2)
            each = step.criterion.imitation(spread(fused), spread(ensemble), fused.new_ones(1, 1), how)
            everywhere = torch.ones(each.shape[:2], dtype=torch.bool, device=each.device)
            return masked_mean(each, everywhere, step.criterion.labelled(step.y))[0]


class FusedNetwork(nn.Module):
    """All sub-networks with the fusion module: from the network's input to the fused classifier's logits.

    Args:
        group: the sub-networks.
        fused: the classifier over their maps.
    """

    def __init__(self, group: Group, fused: FusedClassifier) -> None:
        super().__init__()
        self.group, self.fused = group, fused

    def forward(self, *args: Tensor, **named: Any) -> Float[Tensor, "rows classes"]:
        """Return the logits of a batch, a tensor or keyword arguments, as the sub-networks take it."""
        logits: Tensor = self.fused.answer(self.group(args[0] if args else named, capture=self.fused.capture))
        return logits


class FusedGroup(Group):
    """The fused classifier as the one student of a group, for what is scored and shipped.

    Args:
        group: the sub-networks.
        fused: the classifier over their maps. Both stay the task's own.
    """

    def __init__(self, group: Group, fused: FusedClassifier) -> None:
        super().__init__()
        self.routes = independent(students=1)
        self.model = FusedNetwork(group, fused)

    def forward(self, inputs: Inputs, *, sees: Table = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the fused classifier's answer to every row.

        Raises:
            ValueError: something is to be captured of a pass, or not all rows are seen.
        """
        table = sees_table(sees, students=1, rows=self._network.group.count_rows(inputs))
        if capture != _NOTHING or not table.all():
            raise ValueError(
                "a fused classifier gives logits of all rows and nothing else; ask the sub-networks, task.group"
            )
        logits = self.model(**inputs) if not isinstance(inputs, Tensor) else self.model(inputs)
        return Outputs(logits=logits[None], sees=table)

    def copies(self, name: str) -> list[nn.Module]:
        """Return all modules that take the place of one layer of the user's model."""
        return self._network.group.copies(name)

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """Yield all parameters of the sub-networks and of the fusion module."""
        return self.parameters()

    def export(self, student: int) -> nn.Module:
        """Return a deep copy of all sub-networks with the fusion module, a `FusedNetwork`.

        Raises:
            ValueError: there is no such student.
        """
        self._check_student(student)
        return duplicate(self._network)

    @property
    def _network(self) -> FusedNetwork:
        assert isinstance(self.model, FusedNetwork)
        return self.model


def _fused(
    group: Group, example: Inputs, *, maps: str | None, among: tuple[str, ...], pool: Pool
) -> FusedClassifier:
    """Build the fused classifier over one layer's maps; unnamed, over the last among some that is a map."""
    named = among if maps is None else (maps,) if maps else ()
    found = probe(group, example, capture=Capture(activations=named)).activations
    if maps is None:
        maps = next((name for name in reversed(among) if found[name].ndim == 5), "")
    elif maps and found[maps].ndim != 5:
        raise ValueError(
            f"the output of layer {maps!r} has {found[maps].ndim - 1} axes, and a feature map has four: rows, "
            "channels, height and width; name another layer, or maps='' for the input of the classifier"
        )
    seen = probe(group, example, capture=_capture(maps))
    shape, classes = _maps(seen, maps, pool).shape, seen.logits.shape[-1]
    return FusedClassifier(maps, shape=shape, classes=classes, pool=pool)


def _capture(maps: str) -> Capture:
    return Capture(activations=(maps,)) if maps else Capture(features=True)


def _maps(outputs: Outputs, maps: str, pool: Pool) -> Float[Tensor, "students rows channels height width"]:
    """Return the feature maps of all sub-networks."""
    if maps:
        return outputs.activations[maps]
    features = outputs.features
    assert features is not None
    vectors = pool(features.flatten(0, 1)).view(*features.shape[:2], -1)
    return vectors[..., None, None]
