"""The size at which the papers are run, see `scales.yaml`."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from reproduction.reading import merged, read_yaml
from reproduction.tables import DataSet
from studygroup.training.config import Config

_EIGHTH = 8  # padding of crops is this fraction of a picture's side, such as 4 of 32


@dataclass(frozen=True, kw_only=True)
class Regime:
    """Changes to the settings of one network, see `scales.yaml`; None keeps the table's."""

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
    """A size at which all experiments are run.

    Attributes:
        name: on the command line.
        regimes: by the network's name in `studygroup.models.build`.
    """

    name: str
    regimes: Mapping[str, Regime]

    def applied(self, settings: Config, data: DataSet) -> Config:
        """Return a run's settings at this scale, given the cell's settings at the paper's scale."""
        regime = self.regimes[settings["model"]]
        result = _rows(settings, regime, data)
        result = _shorter(result, regime.epochs)
        result = _smaller(result, regime)
        return merged(result, regime.settings)

    def changed(
        self, *, rows: int | None = None, epochs: int | None = None, side: int | None = None
    ) -> "Scale":
        """Return the scale with other rows, epochs or sides of pictures for all networks; None keeps them."""
        named = {"rows": rows, "epochs": epochs, "side": side}
        # numbers from a command line may be instances of special classes, which no file can hold
        given: Config = {name: int(value) for name, value in named.items() if value is not None}
        regimes = {name: dataclasses.replace(regime, **given) for name, regime in self.regimes.items()}
        return dataclasses.replace(self, regimes=regimes)


def _rows(settings: Config, regime: Regime, data: DataSet) -> Config:
    """Take fewer rows, holding out the same share of them."""
    test = {} if regime.test_rows is None else {"test_rows": regime.test_rows}
    if regime.rows is None:
        return settings | test
    rows = min(regime.rows, data.rows)
    return settings | test | {"train_rows": rows, "holdout": round(rows * data.holdout / data.rows)}


def _shorter(settings: Config, epochs: int | None) -> Config:
    """Take another number of epochs, with milestones at the same shares of them."""
    if epochs is None:
        return settings
    result = settings | {"epochs": epochs}
    rate = settings["rate"]
    if isinstance(rate, Mapping) and "milestones" in rate.get("init_args", {}):
        at = [round(epochs * milestone / settings["epochs"]) for milestone in rate["init_args"]["milestones"]]
        result = merged(result, {"rate": {"init_args": {"milestones": at}}})
    return result


def _smaller(settings: Config, regime: Regime) -> Config:
    """Take thinner networks on smaller pictures."""
    options = dict(settings.get("model_options", {}))
    if "width" in options:
        options["width"] //= regime.thinner
    result = settings | {"model_options": options}
    if regime.side is None:
        return result
    result["image_size"] = [regime.side, regime.side]
    return merged(result, {"augment": {"init_args": {"padding": regime.side // _EIGHTH}}})


SCALES = {
    name: Scale(name=name, regimes={model: Regime(**regime) for model, regime in regimes.items()})
    for name, regimes in read_yaml("scales").items()
}
"""The sizes of `scales.yaml`, by name."""
SMALL, FULL = SCALES["small"], SCALES["full"]
