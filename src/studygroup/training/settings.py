"""The settings of a run: their signature is the configuration, on the command line as in Python."""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from studygroup import models, seeding
from studygroup.data import ArrowSplit, Data, SentencePiece, clean, identity, load
from studygroup.parallel import Divide
from studygroup.task import CollaborativeLearning
from studygroup.training import methods
from studygroup.training.accelerators import check_accelerator, check_devices
from studygroup.training.by_path import BY_PATH, names_code
from studygroup.training.config import Config, complete, instances
from studygroup.training.datamodule import DataModule
from studygroup.training.dotted import texts, with_values
from studygroup.training.methods import Method
from studygroup.training.optimisers import check_optimizer
from studygroup.training.parts import as_part, build_part, named_factory
from studygroup.training.rates import Cosine, Rate
from studygroup.training.scoring_by import check_choice
from studygroup.training.trust import check_config, reading
from studygroup.training.trying import check_answers, check_criterion, check_longest, check_teachers
from studygroup.trust import NotAllowedError

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
if TYPE_CHECKING:
    Named = Any
else:
    Named = str  # in Python also a class or function, which becomes its import path
CriterionFactory = Callable[[], nn.Module]
_ADAM = functools.partial(torch.optim.Adam, lr=2e-3)
_FALLING = Cosine()
_TOKENIZER = SentencePiece()
_EXAMPLE = 8  # rows from which a method may learn sizes
RESULT_STAYS = ("workers", "in_memory_bytes", "accelerator", "checkpoint_every", "baseline", "loggers")
"""Settings that may change when a run is continued."""
AUTO = "auto"  # chosen once the data are known, see half.py
PRECISIONS = {
    "32-true": torch.float32,
    "bf16-mixed": torch.float32,
    "16-mixed": torch.float32,
    "bf16-true": torch.bfloat16,
    "64-true": torch.float64,
    AUTO: torch.float32,
}
"""Lightning's flags that a run takes, and the precision of the network's weights under each."""
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("epochs", "batch_size", "checkpoint_every", "train_rows", "test_rows"), (1, 10**15)),
    **dict.fromkeys(("workers", "in_memory_bytes"), (0, 10**18)),
    "seed": (-(2**64), 2**64),  # what TensorBoard and others take for a number
    **dict.fromkeys(("devices", "num_nodes"), (1, 10**6)),
    "threads": (1, 1024),  # more would end the process without a word
}
"""The smallest and the largest value of whole numbers."""
_SHORT = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings that determine a run.

    Attributes:
        recipe: the method, by its name in `studygroup.recipes`; its own arguments follow as `--recipe.students 8`. Or
            the import path of a function of your own, `model -> task`, which may also take `seed`, `example` and
            `new`; with the decorator `studygroup.training.methods.register_recipe` its arguments are options, too.
            Where a recipe takes `layers` and none are given, it uses the model's layers that suit it, see
            `studygroup.training.methods`.
        data: `digits`, a folder, or a name on the Hugging Face hub; see `studygroup.data.load`. Or a data set of your
            own: the import path of a class or function such as `torchvision.datasets.CIFAR10`, see docs/own_parts.md.
        data_options: arguments of a data set of your own, such as `--data_options.root FOLDER`.
        holdout: rows held out of training to choose the student by: a share in (0, 1), or a number of rows.
        train_rows: use only so many training rows, hold-out included.
        test_rows: use only so many test rows.
        image_size: height and width in pixels to scale images to.
        augment: augmentation of training images, a `studygroup.data.Augment`: none, or
            `studygroup.data.PadCropFlip` with `--augment.padding 4`, or `studygroup.data.TorchVision` with
            `--augment.transforms '[RandAugment, {RandomErasing: {p: 0.25}}]'`.
        mix: mixture of training images and their labels, a `studygroup.data.Mix`: `studygroup.data.MixUp` or
            `studygroup.data.CutMix` with `--mix.alpha 0.2`; by default none.
        noise: how the training labels differ from the true ones, a `studygroup.data.LabelNoise`: not at all,
            `studygroup.data.SymmetricNoise` with `--noise.rate 0.5`, or `studygroup.data.HumanNoise` with
            `--noise.path FOLDER --noise.column NAME`. Test labels are never touched.
        tokenizer: tokenizer of texts, a `studygroup.data.Tokenizer`: `studygroup.data.SentencePiece` with
            `--tokenizer.vocabulary 16000 --tokenizer.length 512`, `studygroup.data.Characters`, or
            `studygroup.data.Pretrained` with `--tokenizer.name NAME`. Pictures need none.
        holdout_noise: whether the hold-out labels get the same noise, drawn once, or stay the true ones.
        model: name of a network, see `studygroup.models.build`. Or a network of your own: the import path of a class
            or function such as `mypackage.nets.Net`, see docs/own_parts.md.
        model_options: further arguments of the network, such as `--model_options.width 64`. By default `width` is
            16 for the default model, thin enough for a first run on a CPU; others have their own defaults.
        epochs: number of times that every training row is seen.
        batch_size: rows per step; where every student has its own rows, rows per student.
        optimizer: a class of `torch.optim` but LBFGS, with its arguments as `--optimizer.lr 0.1`.
        criterion: loss on the labels, a `studygroup.objectives.Criterion` such as `CrossEntropy` with
            `--criterion.label_smoothing 0.1`, or a module that gives one number a row; by default the recipe's own.
        metrics: subclasses of `torchmetrics.Metric`, by names of one's own: `--metrics.f1 torchmetrics.F1Score`.
        callbacks: subclasses of Lightning's `Callback`; they may watch `holdout_mean`, `holdout_best`,
            `holdout_ensemble` and `metric_NAME_ensemble`.
        loggers: subclasses of Lightning's `Logger`, beside TensorBoard.
        rate: learning-rate schedule, a multiplier of the optimiser's rate: `Constant`, `MultiStep`, `Cosine`,
            `OneCycle`; or one of other packages: `TorchRate`, `TimmRate`.
        progress: whether ramp-up weights see whole epochs, as printed in the papers, or single updates.
        precision: Lightning's flag: `32-true`, `bf16-mixed`, `16-mixed`; or `bf16-true` and `64-true`, in which the
            network ships; `auto` is `bf16-mixed` for pictures on CPUs with AMX or AVX512-BF16, else `32-true`.
        gradient_clip_val: largest gradient norm, above 0; by default nothing is clipped.
        channels_last: memory format of network and images, faster for convolutions on many machines.
        select: whether the student with the best hold-out accuracy at the `last` epoch ships, or the `best` of all
            epochs; applies to the baseline, too.
        select_by: name of one of the `metrics`, which takes the place of accuracy in this choice.
        select_mode: whether its largest (`max`) or smallest (`min`) value is best; by default as the metric says.
        reestimate_bn: whether to re-estimate the batch-norm statistics of the chosen network on the training rows,
            augmented as in training, before it is scored and shipped.
        seed: seed of every draw: hold-out, initial weights, routes, subsets, order, augmentation, peers, dropout.
        baseline: whether the plain network is trained beside the method, with the same data and epochs.
        threads: CPU threads that share an operation; they affect the last bits of the result. By default 1 for
            `digits`, whose images are too small to be worth sharing, else torch's own choice.
        deterministic: whether to use torch's deterministic algorithms alone: slower, and on CUDA, too, the same bits
            every time; an operation that has none is an error. By default torch is left as it is set.
        accelerator: Lightning's flag: `auto`, `cpu`, `cuda`, ...
        devices: processes on each machine, one for each device: GPUs, or processes on the CPU.
        num_nodes: machines.
        strategy: how processes exchange gradients: `auto` and `ddp` are DistributedDataParallel. Networks that one
            device does not hold are sharded in a loop of your own, see docs/scale.md.
        divide: what processes divide of a step, where every student has its own rows: each student's `rows`, or the
            `students` with all their rows. Rows that all students share are divided.
        sync_batchnorm: whether batch statistics are those of all processes' rows, as of one process; otherwise each
            process normalises by its own rows.
        workers: processes that load data; `auto` is none for data in memory and 2 for a memory map of encoded
            images, where decoding would otherwise slow training down.
        in_memory_bytes: data sets of up to this decoded size are kept in memory.
        checkpoint_every: epochs between two checkpoints.
    """

    recipe: Method = methods.cgl  # type: ignore[attr-defined]
    data: Named = "digits"
    data_options: dict[str, Any] | None = None
    holdout: int | float = 0.1
    train_rows: int | None = None
    test_rows: int | None = None
    image_size: tuple[int, int] | None = None
    augment: Callable[..., Any] = identity  # jsonargparse cannot check array types
    mix: Callable[..., Any] | None = None
    noise: Callable[..., Any] = clean
    tokenizer: Callable[..., Any] = _TOKENIZER
    holdout_noise: bool = True
    model: Named = "cifar_resnet18"
    model_options: dict[str, Any] | None = None
    epochs: int = 20
    batch_size: int = 32
    optimizer: OptimizerFactory = _ADAM
    criterion: CriterionFactory | None = None
    metrics: dict[str, Any] | None = None
    callbacks: list[Any] | None = None
    loggers: list[Any] | None = None
    rate: Rate = _FALLING
    progress: Literal["epoch", "step"] = "epoch"
    precision: str = AUTO
    gradient_clip_val: float | None = None
    channels_last: bool = False
    select: Literal["last", "best"] = "last"
    select_by: str | None = None
    select_mode: Literal["max", "min"] | None = None
    reestimate_bn: bool = False
    seed: int = 0
    baseline: bool = True
    threads: int | None = None
    deterministic: bool | None = None
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"
    divide: Divide = "rows"
    sync_batchnorm: bool = False
    workers: int | Literal["auto"] = "auto"
    in_memory_bytes: int = 4 * 2**30
    checkpoint_every: int = 1

    options_by_default: ClassVar[bool] = False
    """Whether no `model_options` were given, so that another network has its own."""

    def __post_init__(self) -> None:
        for name in sorted(NEVER_NULL):
            if getattr(self, name) is None:
                raise ValueError(f"{name} is null; give a value, or leave it out")
        object.__setattr__(self, "recipe", methods.resolve(self.recipe))
        for setting in BY_PATH:
            name, options = named_factory(getattr(self, setting), setting)
            object.__setattr__(self, setting, name)
            if options:
                beside = f"{setting}_options"
                object.__setattr__(self, beside, options | (getattr(self, beside) or {}))
        object.__setattr__(self, "options_by_default", self.model_options is None)
        if self.model_options is None:
            options = {"width": 16} if self.model == Settings.model else {}
            object.__setattr__(self, "model_options", options)
        if self.threads is None and self.data == "digits":
            object.__setattr__(self, "threads", 1)
        object.__setattr__(self, "precision", _SHORT.get(self.precision, self.precision))
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision is {self.precision!r}; give one of {', '.join(PRECISIONS)} (weights in float16 lose "
                "small updates, and no loss would be scaled: use 16-mixed)"
            )
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, int) and not least <= value <= most:
                way_out = f"at least {least}" if value < least else f"at most {most}"
                raise ValueError(f"{name} is {value}; give {way_out}")
        metrics = {name: as_part(one, f"metrics.{name}") for name, one in (self.metrics or {}).items()}
        object.__setattr__(self, "metrics", metrics or None)
        check_choice(self.select_by, self.select_mode, metrics)
        for setting in ("callbacks", "loggers"):
            parts = [as_part(one, f"{setting}[{k}]") for k, one in enumerate(getattr(self, setting) or ())]
            object.__setattr__(self, setting, parts or None)
        if isinstance(self.holdout, float) and not 0 <= self.holdout < 1:
            raise ValueError(f"holdout is {self.holdout}; give a share in [0, 1) or an int, a number of rows")
        clip = self.gradient_clip_val
        if clip is not None and not 0 < clip < math.inf:
            raise ValueError(f"gradient_clip_val is {clip}; give a number above 0, or leave it out")

    def config(self) -> Config:
        """Return all settings as plain values, defaults of the recipe and the optimiser included.

        Raises:
            ValueError: a value has no plain form, such as a lambda.
        """
        return copy.deepcopy(self._config)

    @functools.cached_property  # parsing is slow, and a run asks several times
    def _config(self) -> Config:
        return complete(Settings, {item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def from_config(
        cls, values: Config, *, where: Path | None = None, overrides: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Build settings from plain values, such as those of a run's `config.yaml`; missing ones take their defaults.

        Args:
            values: all or some of the values that `config` returns.
            where: the file that they were read from: then they may name only what files may name, see
                `studygroup.trust`. Without it they are the caller's own.
            overrides: the caller's own values by dotted name, in place of those.

        Raises:
            NotAllowedError: values from a file name code that nobody allowed.
            ValueError: a name or value that the signature does not accept.
        """
        changed = with_values(values, overrides or {})
        if where is None:
            return cls(**instances(cls, changed))
        check_config(values, where)
        try:
            with reading(where, values, typed=set(texts(overrides or {}))):
                return cls(**instances(cls, changed))
        except NotAllowedError:
            raise
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    @property
    def method_name(self) -> str:
        """Short name of the recipe."""
        named = self._config["recipe"]
        path: str = named["class_path"] if isinstance(named, dict) else named
        return path.rpartition(".")[2]

    def check_here(self) -> None:
        """Check what depends on this machine, and what only training uses, in a moment.

        Raises:
            ValueError: there is no such accelerator here, or not as many, the schedule does not fit the epochs, or an
                optimiser, callback or logger is none or refuses its arguments, see `check_optimizer`.
        """
        check_accelerator(self.accelerator)
        check_devices(self.accelerator, self.devices)
        self.build_parts("callbacks")
        self.build_parts("loggers")
        check_optimizer(self.optimizer)
        self.rate.check(self.epochs)

    def build_parts(self, setting: Literal["callbacks", "loggers"]) -> list[Any]:
        """Build the callbacks or the loggers of one's own.

        Raises:
            ValueError: one is none, or refuses its arguments.
        """
        parts = getattr(self, setting)
        if not parts:
            return []
        from lightning.pytorch import Callback
        from lightning.pytorch.loggers import Logger

        base = Callback if setting == "callbacks" else Logger
        return [build_part(one, f"{setting}[{k}]", base) for k, one in enumerate(parts)]

    @property
    def processes(self) -> int:
        """Number of processes that train together."""
        return self.devices * self.num_nodes

    @property
    def device(self) -> torch.device:
        """Device on which steps are measured: training's own if that is CUDA, else the CPU."""
        use_cuda = self.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
        return torch.device("cuda" if use_cuda else "cpu")

    def load_data(self) -> Data:
        """Open the data set.

        Raises:
            ValueError: the data cannot be used as they are, or there are no hold-out or test rows.
        """
        data = load(
            self.data,
            options=self.data_options,
            holdout=self.holdout,
            seed=self.seed,
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            image_size=self.image_size,
            noise=self.noise,
            holdout_noise=self.holdout_noise,
            tokenizer=self.tokenizer,
            in_memory_bytes=self.in_memory_bytes,
        )
        if not len(data.holdout):
            raise ValueError(
                f"holdout={self.holdout} leaves no rows to choose the shipped student by; hold out at least one"
            )
        if not len(data.test):
            raise ValueError(
                f"{self.data} has no test rows (test_rows={self.test_rows}); the choice is scored on them"
            )
        return data

    def builder(self, data: Data) -> dict[str, Any]:
        """Return the arguments of `studygroup.models.build` that build the network for this data set."""
        options = self.model_options or {}
        return {"name": self.model, "classes": len(data.classes), **data.form.sizes, **options}

    def build_net(self, data: Data) -> nn.Module:
        """Build the network with initial weights determined by the seed (this seeds torch's global generator)."""
        torch.manual_seed(seeding.derive(self.seed, "weights"))
        return self._new_net(data)

    def _new_net(self, data: Data) -> nn.Module:
        """Build a network with weights drawn from torch's global generator in its current state."""
        net = models.build(**self.builder(data))
        return net.to(memory_format=torch.channels_last) if self.channels_last else net

    def build_task(self, data: Data) -> CollaborativeLearning:
        """Build the network and, with the recipe, its task, in the precision of the run's weights."""
        rows, _ = data.train[torch.arange(min(_EXAMPLE, len(data.train)))]
        example = self._single(data).inputs(rows)
        net = self.build_net(data)
        check_longest(net, data)
        if names_code("model", self.model):
            check_answers(net, self.model, example, classes=len(data.classes))
        task = self.recipe(net, self.seed, example, lambda: self._new_net(data))
        if self.criterion is not None:
            given = task.with_criterion(self.criterion()).criterion
            check_criterion(given, classes=len(data.classes), mixed=self.mix is not None)
        check_teachers(task, data)
        return task.to(PRECISIONS[self.precision])

    def build_datamodule(self, data: Data) -> DataModule:
        """Build the datamodule, which provides the batches, in the precision of the run's weights."""
        return self._single(data).to(PRECISIONS[self.precision])

    def _single(self, data: Data) -> DataModule:
        """Build the datamodule in single precision, in which networks are drawn."""
        return DataModule(
            data,
            batch_size=self.batch_size,
            augment=self.augment,
            seed=self.seed,
            workers=2 * isinstance(data.train, ArrowSplit) if self.workers == "auto" else self.workers,
            channels_last=self.channels_last,
            mix=self.mix,
            divide=self.divide,
        )


NEVER_NULL = frozenset(item.name for item in fields(Settings) if item.default is not None)
"""Settings that have a value."""
TEXTS = frozenset(item.name for item in fields(Settings) if item.type is str)
"""Settings that are texts, whatever a text looks like."""
