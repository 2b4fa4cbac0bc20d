"""Upgrade configurations of earlier versions to the names and meanings of this one."""

from typing import Any

_MOVED = (("studygroup.listen.", "studygroup.teachers."), ("studygroup.auxiliary.", "studygroup.objectives."))
_GONE = {"okddip": ("detach",)}
ALWAYS = (
    *(
        "recipe",
        "data",
        "holdout",
        "augment",
        "noise",
        "tokenizer",
        "holdout_noise",
        "model",
        "model_options",
    ),
    *("epochs", "batch_size", "optimizer", "rate", "progress", "precision", "channels_last", "select"),
    *("reestimate_bn", "seed", "baseline", "accelerator", "workers", "in_memory_bytes", "checkpoint_every"),
)
"""Settings that stand in the configuration of every run since 0.1.0: no default takes the place of a lost one."""
ONE_PROCESS: dict[str, Any] = {
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "divide": "rows",
    "sync_batchnorm": False,
}
"""Settings that runs begun when all were of one process lack, and what they stood for."""
_METHODS = "studygroup.training.methods."


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a run's configuration, read from its folder or checkpoint, to this version.

    Args:
        config: plain values, of any version since 0.1.0.
    """
    moved: dict[str, Any] = _moved(config)
    recipe = moved.get("recipe")
    if isinstance(recipe, dict) and str(recipe.get("class_path", "")).startswith(_METHODS):
        name = recipe["class_path"].removeprefix(_METHODS)
        options = dict(recipe.get("init_args") or {})
        for gone in _GONE.get(name, ()):
            options.pop(gone, None)
        if name == "cgl" and options.get("peers_gradient") is None:  # in 0.1.0 peers had no gradient
            options["peers_gradient"] = False
        if options.get("layers") == []:  # leaving it out now means the recipe's own
            del options["layers"]
        if options or "init_args" in recipe:
            moved["recipe"] = {**recipe, "init_args": options}
    return moved


def _moved(value: Any) -> Any:
    """Return values with class paths renamed to those of this version."""
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if isinstance(value, str):
        return next((new + value.removeprefix(old) for old, new in _MOVED if value.startswith(old)), value)
    return value
