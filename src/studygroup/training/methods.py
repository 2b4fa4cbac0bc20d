"""Recipes as classes that a configuration can name: `--recipe cgl --recipe.students 8`.

A recipe is a function from a network to a task. A run adds what the recipe cannot know: its seed, a few example rows,
and a factory of new networks, which `init="fresh"` then stands for. Everything else is the recipe's own signature, so
a function added to `studygroup.recipes` appears here, with its options and their help, without a change to this file.
A function of your own does so with the decorator `register_recipe`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jsonargparse.typing import ClassFromFunctionBase  # type: ignore[attr-defined]
from torch import nn

from studygroup import recipes
from studygroup.inputs import Inputs
from studygroup.naming import did_you_mean
from studygroup.task import CollaborativeLearning

New = Callable[[], nn.Module]
Method = Callable[[nn.Module, int, Inputs, New], CollaborativeLearning]
"""A recipe ready for a run: called with the network, the run's seed, a few rows of network input, and a factory of
new networks."""

_GIVEN = {"model": nn.Module, "seed": int, "example": Inputs, "new": New}


def method(recipe: Callable[..., CollaborativeLearning]) -> Callable[..., CollaborativeLearning]:
    """Adapt a recipe to the way a run calls it: `method(recipe)(model, seed, example, new, **options)`.

    Args:
        recipe: a function whose first argument is the network; its other arguments are keywords.

    Returns:
        The same function with `seed`, `example` and `new` after the network. They are passed on where the recipe has
        arguments of these names, and `new` also replaces `init="fresh"`, because networks may initialise weights in
        ways that `reset_parameters` does not cover. Empty `layers`, as in configurations of earlier versions, stand
        for the recipe's own default.
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


def register_recipe(recipe: Callable[..., CollaborativeLearning]) -> type[CollaborativeLearning]:
    """Decorate a recipe of your own, so that configurations can name it and its arguments: `--recipe.students 8`.

    Example:
        >>> @register_recipe
        ... def pairs(model: nn.Module, *, layers: Sequence[str], students: int = 2) -> CollaborativeLearning: ...
        >>> train(Settings(recipe=functools.partial(pairs, students=4)))

    Args:
        recipe: an annotated function at the top level of a module; see `method`.
    """
    made = _class(recipe.__name__, method(recipe))
    made.__module__, made.__qualname__ = recipe.__module__, recipe.__qualname__
    return made


def resolve(recipe: Any) -> Any:
    """Return the form in which `Settings` keeps a recipe that is given by name or as a function.

    Args:
        recipe: a name or function of `studygroup.recipes`, or a `functools.partial` of one; a function of your own as
            `method` takes it. Anything else is returned unchanged.

    Raises:
        ValueError: there is no recipe of this name.
    """
    if isinstance(recipe, str):
        if recipe not in recipes.__all__:
            raise ValueError(f"there is no recipe {recipe!r}{did_you_mean(recipe, recipes.__all__)}")
        return globals()[recipe]
    if isinstance(recipe, functools.partial) and _public(recipe.func):
        return functools.partial(resolve(recipe.func), *recipe.args, **recipe.keywords)
    if not inspect.isfunction(recipe):
        return recipe
    return globals()[recipe.__name__] if _public(recipe) else method(recipe)


def _public(recipe: Any) -> bool:
    """Tell whether a function is one of `studygroup.recipes`."""
    return inspect.isfunction(recipe) and getattr(recipes, recipe.__name__, None) is recipe


def _signature(recipe: Callable[..., CollaborativeLearning]) -> inspect.Signature:
    """Return the recipe's signature as a configuration shows it: the arguments that the run provides come first."""
    signature = inspect.signature(recipe)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(name, kind, annotation=type_) for name, type_ in _GIVEN.items()]
    own = [
        parameter
        for name, parameter in signature.parameters.items()
        if name not in _GIVEN and not inspect.isfunction(parameter.default)  # a function is no option
    ]
    return signature.replace(parameters=given + own)


def _all() -> dict[str, type[CollaborativeLearning]]:
    """Return the public recipes as classes, which a configuration can name together with their arguments."""
    functions = {name: getattr(recipes, name) for name in recipes.__all__}
    return {name: _class(name, method(f)) for name, f in functions.items() if inspect.isfunction(f)}


def _class(name: str, function: Callable[..., CollaborativeLearning]) -> type[CollaborativeLearning]:
    """Build a class whose instantiation calls the function.

    It equals that of `jsonargparse.typing.class_from_function`, which reads the source lines of all its callers every
    time: for all recipes, that took some eight seconds at the start of every command.
    """

    def new(cls: type, *args: Any, **options: Any) -> CollaborativeLearning:
        return function(*args, **options)

    body = {"__new__": new, "__doc__": function.__doc__, "__module__": __name__, "wrapped_function": function}
    return type(name, (CollaborativeLearning, ClassFromFunctionBase), body)


globals().update(_all())
