"""At which size the papers are run: `FULL` is their own, `SMALL` one that fits a CPU, and this is its one place.

`SMALL` keeps recipes, seeds, and, as shares, the schedule's milestones and the hold-out set; of pictures and of
VDCNN-9 optimisers and batches, too. It changes what a `Regime` says.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from reproduction.reading import merged
from reproduction.tables import DataSet
from studygroup.training.config import Config

_EIGHTH = 8  # padding of crops is so much of a picture's side, as 4 of 32


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What a scale does to the settings of one network.

    Attributes:
        rows: training rows, hold-out included, or all there are if those are fewer; None leaves all.
        test_rows: test rows; None leaves all.
        epochs: None leaves the paper's.
        thinner: divisor of the network's width. Hidden fully connected layers stay: they cost little, and dropout on
            fewer of them starves the classifier.
        side: pixels that pictures are scaled to, each way; None leaves them.
        settings: laid over all others.
    """

    rows: int | None = None
    test_rows: int | None = None
    epochs: int | None = None
    thinner: int = 1
    side: int | None = None
    settings: Config = field(default_factory=dict)

    def __str__(self) -> str:
        said = [
            f"{value:,} {name}" for name, value in (("rows", self.rows), ("epochs", self.epochs)) if value
        ]
        said += [f"1/{self.thinner} of the width"] if self.thinner > 1 else []
        said += [f"pictures of {self.side} x {self.side}"] if self.side else []
        return ", ".join(said) or "as in the paper"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A size of all experiments.

    Attributes:
        name: on the command line.
        regimes: by the network's name in `studygroup.models.build`.
    """

    name: str
    regimes: Mapping[str, Regime]

    def applied(self, settings: Config, data: DataSet) -> Config:
        """The settings of a run at this scale.

        Args:
            settings: of a cell, at the paper's scale.
            data: of that cell.
        """
        regime = self.regimes[settings["model"]]
        result = _rows(settings, regime, data)
        result = _shorter(result, regime.epochs)
        result = _smaller(result, regime)
        return merged(result, regime.settings)

    def changed(
        self, *, rows: int | None = None, epochs: int | None = None, side: int | None = None
    ) -> "Scale":
        """The same with another number of training rows or epochs, or other pictures, for all networks.

        Args:
            rows: hold-out included; None leaves them.
            epochs: None leaves them.
            side: pixels that pictures are scaled to, each way; None leaves them.
        """
        named = {"rows": rows, "epochs": epochs, "side": side}
        # a command line's numbers may be of a class of their own, which no file holds
        given: Config = {name: int(value) for name, value in named.items() if value is not None}
        regimes = {name: dataclasses.replace(regime, **given) for name, regime in self.regimes.items()}
        return dataclasses.replace(self, regimes=regimes)


def _rows(settings: Config, regime: Regime, data: DataSet) -> Config:
    """Fewer rows, of which the same share is held out."""
    test = {} if regime.test_rows is None else {"test_rows": regime.test_rows}
    if regime.rows is None:
        return settings | test
    rows = min(regime.rows, data.rows)
    return settings | test | {"train_rows": rows, "holdout": round(rows * data.holdout / data.rows)}


def _shorter(settings: Config, epochs: int | None) -> Config:
    """Another number of epochs, with milestones at the same shares of them."""
    if epochs is None:
        return settings
    result = settings | {"epochs": epochs}
    rate = settings["rate"]
    if isinstance(rate, Mapping) and "milestones" in rate.get("init_args", {}):
        at = [round(epochs * milestone / settings["epochs"]) for milestone in rate["init_args"]["milestones"]]
        result = merged(result, {"rate": {"init_args": {"milestones": at}}})
    return result


def _smaller(settings: Config, regime: Regime) -> Config:
    """Thinner networks on smaller pictures."""
    options = dict(settings.get("model_options", {}))
    if "width" in options:
        options["width"] //= regime.thinner
    result = settings | {"model_options": options}
    if regime.side is None:
        return result
    result["image_size"] = [regime.side, regime.side]
    return merged(result, {"augment": {"init_args": {"padding": regime.side // _EIGHTH}}})


_QUICK = {"channels_last": True, "threads": 1}
_RESNET = Regime(rows=20_000, epochs=40, thinner=4, side=16, settings=_QUICK)
# five poolings take 32 x 32 to one pixel: 16 x 16 would leave nothing
_VGG = dataclasses.replace(_RESNET, side=32)
_VDCNN = Regime(
    rows=10_000,
    epochs=8,
    settings={
        "tokenizer": {"init_args": {"length": 256}},
        "model_options": {"width": 16, "hidden": 256},
        "threads": 1,
    },
)
_TRANSFORMER = Regime(
    rows=4_000,
    test_rows=4_000,
    epochs=6,
    settings={
        "tokenizer": {"init_args": {"vocabulary": 8_000, "length": 64}},
        "model_options": {"embedding": 128, "hidden": 64, "feed_forward": 256, "length": 64},
        "batch_size": 32,
        "optimizer": {"init_args": {"lr": 0.001}},  # few updates: at the paper's 1e-4 nothing is learnt
        "threads": 1,
    },
)
SMALL = Scale(
    name="small",
    regimes={
        "cifar_resnet18": _RESNET,
        "cifar_resnet34": _RESNET,
        "cifar_resnet101": Regime(),  # nothing is trained: memory is counted as in the paper
        "cifar_vgg16": _VGG,
        "vdcnn9": _VDCNN,
        "text_transformer": _TRANSFORMER,
    },
)
"""Thin networks, smaller pictures, fewer rows and epochs."""
FULL = Scale(name="full", regimes={model: Regime() for model in SMALL.regimes})
"""The papers' own setting."""
SCALES = {scale.name: scale for scale in (SMALL, FULL)}
