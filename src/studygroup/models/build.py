"""Networks built by name."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from studygroup.extras import missing
from studygroup.importing import call_own, is_import_path, own_factory, taken
from studygroup.models import cifar
from studygroup.models.huggingface import huggingface
from studygroup.models.mlp import mlp
from studygroup.models.transformer import text_transformer
from studygroup.models.vdcnn import vdcnn9
from studygroup.models.vgg import cifar_vgg16
from studygroup.naming import did_you_mean
from studygroup.trust import tensors_alone

_RESNETS = [f"cifar_resnet{depth}" for depth in (18, 8, 20, 32, 34, 101, 110)]
_PICTURES: dict[str, Callable[..., nn.Module]] = {
    **{name: getattr(cifar, name) for name in _RESNETS},
    "cifar_vgg16": cifar_vgg16,
    "mlp": mlp,
}
_TEXTS: dict[str, Callable[..., nn.Module]] = {"vdcnn9": vdcnn9, "text_transformer": text_transformer}
_HUGGINGFACE = "huggingface/"
_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_OWN_NAMES = {
    "classes": ("classes", "num_classes", "num_labels"),
    "channels": ("channels", "in_channels", "in_chans"),
    "vocabulary": ("vocabulary", "vocab_size"),
    "padding": ("padding", "pad_token_id"),
}
"""The names under which sizes of the data are given to a network, where it has an argument of that name."""


def build(name: str, *, classes: int, **options: Any) -> nn.Module:
    """Build a network with fresh weights; only the configuration of `huggingface/NAME` is downloaded.

    Args:
        name: of a network for pictures: `cifar_resnet18`, `cifar_resnet34`, `cifar_resnet101`, the narrow
            `cifar_resnet8`, `cifar_resnet20`, `cifar_resnet32` and `cifar_resnet110`, `cifar_vgg16`, `mlp`,
            `torchvision/NAME` or `timm/NAME`; a bare name is looked up in that order. Or of one for texts: `vdcnn9`,
            `text_transformer`, or `huggingface/NAME` with a name on the hub or a folder. Or the import path of your
            own class or function, such as `mypackage.nets.Net`, see docs/own_parts.md.
        classes: number of classes of the head.
        **options: passed to the network. Networks for pictures take `channels`, those of the images, by default 3
            (torchvision's take 3 only); those for texts take `vocabulary`, the number of ids, and `padding`,
            the id that pads rows. Others are the network's own, such as `width`, `img_size` or `drop_rate`;
            with `pretrained=True`, timm and Hugging Face download weights.

    Returns:
        The network; for a name from a library, the library's own.

    Raises:
        ValueError: an unknown name (lists similar ones), options of the other kind of network or of a wrong type, or
            a number of channels that the network cannot take.
    """
    if is_import_path(name):
        return _own_network(name, classes, **options)
    if reads_text(name):
        others = f"{', '.join(_PICTURES)}, torchvision/NAME and timm/NAME"
        _check(name, "texts", options, ("channels",), others)
        if name.startswith(_HUGGINGFACE):
            return huggingface(name.removeprefix(_HUGGINGFACE), classes, **options)
        return _made(name, _TEXTS[name], classes, options)
    make = _picture_network(name)
    others = f"{', '.join(_TEXTS)} and huggingface/NAME"
    _check(name, "pictures", options, ("vocabulary", "padding"), others)
    return _made(name, make, classes, {"channels": 3, **options})


def _own_network(path: str, classes: int, **options: Any) -> nn.Module:
    """Build a network of one's own, with sizes of the data under the names that it has for them, if any.

    Raises:
        ValueError: it cannot be imported, refuses its arguments, or is no network.
    """
    what = f"network {path!r}"
    make = own_factory(path, what="network")
    there = taken(make)
    arguments = dict(options)
    for size, names in _OWN_NAMES.items():
        value = classes if size == "classes" else arguments.pop(size, None)
        name = next((one for one in names if one in there), None)
        if name is not None and value is not None:
            arguments.setdefault(name, value)
    network = call_own(make, arguments, what=what)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"{what} returns a {type(network).__name__}; give a class or a function that returns an nn.Module"
        )
    return network


def _made(name: str, make: Callable[..., nn.Module], classes: int, options: Mapping[str, Any]) -> nn.Module:
    """Build the network, or raise an error that names the option it does not take."""
    try:
        return make(classes, **options)
    except _REFUSALS as error:
        if isinstance(error, ValueError) and {*options} & {*re.findall(r"\w+", str(error))}:
            raise
        found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if found is None:
            given = ", ".join(f"{key}={value!r:.80}" for key, value in options.items())
            kind = "" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: "
            said = f"{kind}{error}"
            raise ValueError(f"{name} cannot be built with {given} ({said:.200}); correct them") from error
        known = [some for some in inspect.signature(make).parameters if some != "options"]
        raise ValueError(f"{name} has no option {found[1]!r}{did_you_mean(found[1], known)}") from error


def reads_text(name: str) -> bool:
    """Tell whether the network that `build` returns for a name takes token ids instead of pictures.

    Args:
        name: as for `build`; False for an unknown one.
    """
    return name in _TEXTS or name.startswith(_HUGGINGFACE)


def _check(name: str, reads: str, options: dict[str, Any], foreign: tuple[str, ...], others: str) -> None:
    """Refuse options that only the other kind of network has."""
    wrong = [option for option in foreign if option in options]
    if wrong:
        other = "texts" if reads == "pictures" else "pictures"
        raise ValueError(
            f"{name} reads {reads} and takes no {' and no '.join(wrong)}; networks for {other} are {others}"
        )


def _picture_network(name: str) -> Callable[..., nn.Module]:
    """Return a function that builds the network from classes and channels."""
    library, _, bare = name.rpartition("/")
    if not library and bare in _PICTURES:
        return _PICTURES[bare]
    try:  # here, so that the networks of this package need torch alone
        import timm
        import torchvision  # noqa: F401
    except ImportError as error:
        raise missing(f"network {name!r}", "train", error) from error
    if library in ("", "torchvision") and bare in _torchvision_names():
        return functools.partial(_from_torchvision, bare)
    if library in ("", "timm") and timm.is_model(bare):
        return functools.partial(_from_timm, bare)
    raise ValueError(
        f"there is no network {name!r}{did_you_mean(name, _all_names())}; there are "
        f"{', '.join([*_PICTURES, *_TEXTS])}, torchvision's and timm's, "
        "such as timm/vit_tiny_patch16_224, and Hugging Face's, "
        "as huggingface/NAME; a network of one's own goes by its import path, package.module.Name, whose module must "
        "be importable"
    )


def _from_torchvision(name: str, classes: int, *, channels: int, **options: Any) -> nn.Module:
    if channels != 3:
        raise ValueError(
            f"torchvision's {name} takes images of 3 channels, not {channels}; try 'timm/{name}'"
        )
    import torchvision.models

    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    return network


def _from_timm(name: str, classes: int, *, channels: int, **options: Any) -> nn.Module:
    import timm

    with tensors_alone():  # options may name a file of weights
        network: nn.Module = timm.create_model(name, num_classes=classes, in_chans=channels, **options)
    return network


@functools.cache
def _torchvision_names() -> frozenset[str]:
    """Return the names of torchvision's classifiers; its detectors and the like are in submodules."""
    import torchvision.models

    return frozenset(torchvision.models.list_models(module=torchvision.models))


def _all_names() -> list[str]:
    """Return every name that `build` knows, bare and with its library."""
    import timm

    torchvisions, timms = sorted(_torchvision_names()), timm.list_models()
    prefixed = [f"torchvision/{name}" for name in torchvisions] + [f"timm/{name}" for name in timms]
    return [*_PICTURES, *_TEXTS, *torchvisions, *timms, *prefixed]
