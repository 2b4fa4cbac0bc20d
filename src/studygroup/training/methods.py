"""Every recipe as something that a configuration can name: `--recipe cgl --recipe.students 8`.

A recipe is a function from a network to a task. A run adds what the recipe cannot know: its seed, a few rows as an
example, and how a new network is built, which `init="fresh"` then means. All else stays the recipe's own signature,
so a function added to `studygroup.recipes` shows up here, with its options and their help, without a line in this
file. A function of your own does so under `named`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jsonargparse.typing import ClassFromFunctionBase  # type: ignore[attr-defined]
from torch import nn

from studygroup import recipes
from studygroup.inputs import Inputs
from studygroup.naming import near
from studygroup.task import CollaborativeLearning

New = Callable[[], nn.Module]
Method = Callable[[nn.Module, int, Inputs, New], CollaborativeLearning]
"""A recipe ready for a run: called with the network, the run's seed, a few rows of network input, and what builds a
new network."""

_GIVEN = {"model": nn.Module, "seed": int, "example": Inputs, "new": New}


def method(recipe: Callable[..., CollaborativeLearning]) -> Callable[..., CollaborativeLearning]:
    """Return a recipe as a run calls it: `method(recipe)(model, seed, example, new, **options)`.

    Args:
        recipe: a function whose first argument is the network; its other arguments are keywords.

    Returns:
        The same function with `seed`, `example` and `new` behind the network, passed on where the recipe has
        arguments that are called so, the third also in the place of `init="fresh"`: networks draw their weights in
        ways of their own, which `reset_parameters` need not know. Empty `layers`, which configurations of earlier
        versions hold, stand for the recipe's own default.
    """
    parameters = inspect.signature(recipe).parameters

    def make(model: nn.Module, seed: int, example: Inputs, new: New, **options: Any) -> CollaborativeLearning:
        if "layers" in options and not options["layers"]:
            del options["layers"]
        if "init" in parameters and options.get("init", parameters["init"].default) == "fresh":
            options["init"] = new
        given = {"seed": seed, "example": example, "new": new}
        return recipe(model, **options, **{name: given[name] for name in given if name in parameters})

    make.__name__, make.__qualname__ = recipe.__name__, recipe.__qualname__
    make.__doc__, make.__module__ = recipe.__doc__, recipe.__module__
    make.__signature__ = _signature(recipe)  # type: ignore[attr-defined]
    return make


def named(recipe: Callable[..., CollaborativeLearning]) -> type[CollaborativeLearning]:
    """Decorate a function of your own, so that configurations name it with its arguments: `--recipe.students 8`.

    Example:
        >>> @named
        ... def pairs(model: nn.Module, *, layers: Sequence[str], students: int = 2) -> CollaborativeLearning: ...
        >>> train(Settings(recipe=functools.partial(pairs, students=4)))

    Args:
        recipe: at the top level of a module, annotated; see `method`.
    """
    made = _class(recipe.__name__, method(recipe))
    made.__module__, made.__qualname__ = recipe.__module__, recipe.__qualname__
    return made


def of(recipe: Any) -> Any:
    """Return what `Settings` keeps of a recipe that is given as its name, or as the function itself.

    Args:
        recipe: a name or function of `studygroup.recipes`, or a `functools.partial` of one; a function of your own as
            `method` takes it. Anything else is handed back as it is.

    Raises:
        ValueError: no recipe is called so.
    """
    if isinstance(recipe, str):
        if recipe not in recipes.__all__:
            raise ValueError(f"there is no recipe {recipe!r}{near(recipe, recipes.__all__)}")
        return globals()[recipe]
    if isinstance(recipe, functools.partial) and _public(recipe.func):
        return functools.partial(of(recipe.func), *recipe.args, **recipe.keywords)
    if not inspect.isfunction(recipe):
        return recipe
    return globals()[recipe.__name__] if _public(recipe) else method(recipe)


def _public(recipe: Any) -> bool:
    """Tell whether a function is one of `studygroup.recipes`."""
    return inspect.isfunction(recipe) and getattr(recipes, recipe.__name__, None) is recipe


def _signature(recipe: Callable[..., CollaborativeLearning]) -> inspect.Signature:
    """Return the recipe's signature as a configuration shows it: what the run provides comes first."""
    signature = inspect.signature(recipe)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(name, kind, annotation=type_) for name, type_ in _GIVEN.items()]
    own = [
        parameter
        for name, parameter in signature.parameters.items()
        if name not in _GIVEN and not inspect.isfunction(parameter.default)  # a live function stays as it is
    ]
    return signature.replace(parameters=given + own)


def _all() -> dict[str, type[CollaborativeLearning]]:
    """Return the public recipes as classes, which is what a configuration can name with its arguments."""
    functions = {name: getattr(recipes, name) for name in recipes.__all__}
    return {name: _class(name, method(f)) for name, f in functions.items() if inspect.isfunction(f)}


def _class(name: str, function: Callable[..., CollaborativeLearning]) -> type[CollaborativeLearning]:
    """Return a class whose making is the function's call.

    As `jsonargparse.typing.class_from_function` makes it, which asks for the source lines of all its callers every
    time: with all recipes that were some eight seconds at the start of every command.
    """

    def new(cls: type, *args: Any, **options: Any) -> CollaborativeLearning:
        return function(*args, **options)

    body = {"__new__": new, "__doc__": function.__doc__, "__module__": __name__, "wrapped_function": function}
    return type(name, (CollaborativeLearning, ClassFromFunctionBase), body)


globals().update(_all())
