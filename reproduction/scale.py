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
    """Changes to the settings of a network, or of one on one data set, see `scales.yaml`; None keeps the table's."""

    rows: int | None = None
    holdout: int | None = None
    test_rows: int | None = None
    epochs: int | None = None
    longer: int = 1
    step: int | None = None
    own: int | None = None
    start: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    thinner: int = 1
    side: int | None = None
    settings: Config = field(default_factory=dict)

    def __str__(self) -> str:
        said = [
            f"{value:,} {name}"
            for name, value in (
                ("rows", self.rows),
                ("of them held out", self.holdout),
                ("epochs", self.epochs),
                ("rows an update", self.step),
                ("of each student that has rows of its own", self.own),
            )
            if value
        ]
        said += [f"{name} {value:g}" for name, value in self.weights.items()]
        said += [f"1/{self.thinner} of the width"] if self.thinner > 1 else []
        said += [f"pictures of {self.side} x {self.side}"] if self.side else []
        return ", ".join(said) or "as in the paper"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A size at which all experiments are run.

    Attributes:
        name: on the command line.
        regimes: by the network's name in `studygroup.models.build`, or by `NETWORK on DATA`, the data by their short
            name.
    """

    name: str
    regimes: Mapping[str, Regime]

    def applied(self, settings: Config, data: DataSet) -> Config:
        """Return a run's settings at this scale, given the cell's settings at the paper's scale."""
        regime = self.regimes[self.name_of(settings["model"], data)]
        result = _rows(settings, regime, data)
        result = _long(result, regime.longer * (regime.epochs or settings["epochs"]))
        result = _smaller(result, regime)
        result = merged(_stepping(result, regime), regime.settings)
        return _weighed(result, regime.weights)

    def name_of(self, model: str, data: DataSet | None) -> str:
        """Return the name of a network's regime: that of its own on these data, if there is one."""
        own = f"{model} on {data.short}" if data else model
        return own if own in self.regimes else model

    def changed(
        self,
        *,
        rows: int | None = None,
        epochs: int | None = None,
        longer: int | None = None,
        step: int | None = None,
        own: int | None = None,
        side: int | None = None,
    ) -> "Scale":
        """Return the scale with other values for all networks; None keeps them.

        Args:
            rows: training rows, of which the same share is held out as in the paper.
            epochs: number of epochs.
            longer: multiplies the number of epochs.
            step: rows of an update.
            own: rows of an update of each student that has rows of its own.
            side: of pictures, in pixels.
        """
        named = {"rows": rows, "epochs": epochs, "longer": longer, "step": step, "own": own, "side": side}
        # numbers from a command line may be instances of special classes, which no file can hold
        given: Config = {name: int(value) for name, value in named.items() if value is not None}
        given |= {"holdout": None} if rows is not None else {}
        regimes = {name: dataclasses.replace(regime, **given) for name, regime in self.regimes.items()}
        return dataclasses.replace(self, regimes=regimes)


def _rows(settings: Config, regime: Regime, data: DataSet) -> Config:
    """Take fewer rows, holding out the same share of them where no number is given."""
    test = {} if regime.test_rows is None else {"test_rows": regime.test_rows}
    if regime.rows is None:
        return settings | test
    rows = min(regime.rows, data.rows)
    holdout = round(rows * data.holdout / data.rows) if regime.holdout is None else regime.holdout
    return settings | test | {"train_rows": rows, "holdout": holdout}


def _long(settings: Config, epochs: int) -> Config:
    """Take another number of epochs, with milestones at the same shares of them."""
    result = settings | {"epochs": epochs}
    rate = settings["rate"]
    if isinstance(rate, Mapping) and "milestones" in rate.get("init_args", {}):
        at = [round(epochs * milestone / settings["epochs"]) for milestone in rate["init_args"]["milestones"]]
        result = merged(result, {"rate": {"init_args": {"milestones": at}}})
    return result


def _stepping(settings: Config, regime: Regime) -> Config:
    """Take other numbers of rows in an update; students that have rows of their own may start otherwise, too."""
    recipe = settings["recipe"]
    arguments = recipe.get("init_args", {}) if isinstance(recipe, Mapping) else {}
    if not isinstance(recipe, Mapping) or recipe["class_path"] != "cgl" or not arguments.get("subsets", True):
        return settings if regime.step is None else settings | {"batch_size": regime.step}
    start = {} if regime.start is None else {"init": regime.start}
    rows = {} if regime.own is None else {"batch_size": regime.own}
    return settings | rows | {"recipe": {**recipe, "init_args": {**start, **arguments}}}


def _weighed(settings: Config, weights: Mapping[str, float]) -> Config:
    """Give the parts of a recipe that a table has on the weights that were found for them."""
    recipe = settings["recipe"]
    arguments = recipe.get("init_args", {}) if isinstance(recipe, Mapping) else {}
    found = {name: weight for name, weight in weights.items() if arguments.get(name)}
    return merged(settings, {"recipe": {"init_args": found}}) if found else settings


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
