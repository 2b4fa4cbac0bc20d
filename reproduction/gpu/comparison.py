"""The comparison on real pictures: the number of epochs that fit, and what each method reaches in them."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from reproduction.gpu.budget import Clock
from reproduction.gpu.methods import METHODS
from reproduction.gpu.network import full
from reproduction.gpu.pictures import load
from reproduction.gpu.training import Recipe, Run, seconds_of, whole_schedule

TIMED_STEPS = 20  # of each method, behind as many to warm up
SHARE = 0.9  # of the time that is left, as later steps may be slower than those measured


def compare(
    methods: Sequence[str],
    data: Path,
    device: torch.device,
    recipe: Recipe,
    clock: Clock,
    write: Callable[[dict[str, Any]], None],
    *,
    width: int,
    most_epochs: int = 200,
) -> dict[str, Any]:
    """Train methods for the same number of epochs on the same rows: as many as fit by a measured step.

    Args:
        methods: names of `METHODS`.
        data: what `prepare` wrote.
        device: the device of pictures and networks.
        recipe: the settings that all methods share.
        clock: of this phase.
        write: called with the part so far.
        width: of ResNet-18.
        most_epochs: maximum number of epochs; 200 in the CGL paper.

    Returns:
        The part of the result: `measured` seconds by method, `epochs`, `results` by method; `too_little_time` and
        no results if not even one epoch of all would fit.
    """
    start = time.monotonic()
    part: dict[str, Any] = {"seconds_given": round(clock.left, 1), "results": {}, "not_done": list(methods)}

    def done(**more: Any) -> dict[str, Any]:
        part.update(more, seconds=round(time.monotonic() - start, 1))
        write(part)
        return part

    pictures = load(data, device)
    network = full(classes=pictures.classes, width=width, pixels=pictures.images["train"].shape[-1])
    rows = {split: len(labels) for split, labels in pictures.labels.items()}
    done(data=pictures.name, rows=rows, width=width, rows_a_step=recipe.rows, seed=recipe.seed)
    measured, steps = {}, {}
    for method in methods:
        if clock.left <= 0:
            return done(too_little_time="nothing is left to measure a step in")
        trial = Run(METHODS[method], network, pictures, recipe)
        measured[method], steps[method] = seconds_of(trial, steps=TIMED_STEPS), trial.steps
        del trial
    scored = sum(found["scored_row"] for found in measured.values()) * (rows["holdout"] + rows["test"])
    epoch = sum(measured[method]["step"] * steps[method] for method in methods)
    left = clock.left
    epochs = min(most_epochs, epochs_that_fit(left, epoch=epoch, scoring=scored))
    done(
        measured=measured,
        seconds_an_epoch=round(epoch, 4),
        seconds_to_score=round(scored, 4),
        seconds_left=round(left, 1),
        epochs=epochs,
    )
    if epochs < 1:
        return done(too_little_time=f"one epoch of all methods takes {epoch:.1f} s, {left:.1f} s are left")
    for method in methods:
        part["results"][method] = whole_schedule(
            Run(METHODS[method], network, pictures, recipe), epochs, clock
        )
        part["not_done"].remove(method)
        done()
    return part


def epochs_that_fit(left: float, *, epoch: float, scoring: float) -> int:
    """Return how many epochs fit: a share of the remaining time, less scoring, over an epoch of all methods."""
    return max(0, int((left * SHARE - scoring) / epoch))
