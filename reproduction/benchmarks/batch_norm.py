"""Compare which batch shared modules normalise by, for docs/batch-normalisation.md.

Collaborative Group Learning on real images, trained three ways that differ only in how rows reach a shared
module's batch normalisation. Every student is then scored on the test set twice: with the running statistics
as trained, and after re-estimating them for its own path (`torch.optim.swa_utils.update_bn`).

    python reproduction/benchmarks/batch_norm.py --data FOLDER_OR_HUB_NAME --seeds 3

A stopped run resumes: every finished cell is saved in results/batch_norm.json.
"""

import argparse
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

import studygroup as sg
from environment import environment, load, save, spread
from studygroup import data as sgd
from studygroup.layers import blocks
from studygroup.models import cifar_resnet18
from studygroup.objectives import Capture, Imitation, Supervised
from studygroup.seeding import generator

_NOTHING = Capture()


class OneCallPerStudent(sg.StudyGroup):
    """The alternative: each student is normalised by its own rows, shared modules collect the statistics of all."""

    def forward(
        self, inputs: Tensor, *, sees: Tensor | None = None, capture: Capture = _NOTHING
    ) -> sg.Outputs:
        """Run one pass for each student that sees anything."""
        if sees is None:
            return super().forward(inputs, capture=capture)
        logits = torch.zeros(())
        for student in sees.any(1).nonzero().flatten().tolist():
            own = torch.zeros_like(sees)
            own[student] = sees[student]
            logits = logits + super().forward(inputs, sees=own).logits
        return sg.Outputs(logits, sees)


VARIANTS = {
    "one call per module": (sg.StudyGroup, "train"),
    "one call per student": (OneCallPerStudent, "train"),
    "one call per module, peers in eval": (sg.StudyGroup, "eval"),
}


def batches(
    data: sgd.Data, steps: sgd.EpochBatches, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    augment, normalise = sgd.PadCropFlip(), data.form.ready(channels_last=False)
    for step, batch in enumerate(sgd.loader(data.train, steps)):
        draw = generator(seed, "augment", steps.epoch, step)
        yield normalise(augment(batch.inputs, generator=draw)), batch.labels, batch.owner


def train(task: sg.CollaborativeLearning, data: sgd.Data, *, epochs: int, seed: int) -> None:
    """Adam 1e-3, halved at 30, 60 and 80 % of the epochs."""
    own = sgd.subsets(len(data.train), task.group.students, seed=seed)
    steps = sgd.StudentBatches(own, batch_size=64, seed=seed)
    optimiser = torch.optim.Adam(task.parameters(), lr=1e-3)
    marks = [round(epochs * share) for share in (0.3, 0.6, 0.8)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, marks, gamma=0.5)
    task.train()
    for epoch in range(epochs):
        steps.set_epoch(epoch)
        for x, y, owner in batches(data, steps, seed):
            optimiser.zero_grad()
            task(x, y, owner=owner, progress=epoch / epochs).total.backward()
            optimiser.step()
        schedule.step()


def accuracy(network: nn.Module, data: sgd.Data) -> float:
    normalise = data.form.ready(channels_last=False)
    network.eval()
    right = 0
    with torch.no_grad():
        for batch in sgd.loader(data.test, sgd.SharedBatches(len(data.test), batch_size=500, shuffle=False)):
            right += int((network(normalise(batch.inputs)).argmax(1) == batch.labels).sum())
    return 100 * right / len(data.test)


def cell(variant: str, seed: int, args: argparse.Namespace) -> dict[str, object]:
    data = sgd.load(args.data, train_rows=4400, holdout=400, test_rows=2000, seed=seed)
    torch.manual_seed(seed)
    new = partial(cifar_resnet18, len(data.classes), width=8)
    model = new()
    kind, peers = VARIANTS[variant]
    routes = sg.routes.random(blocks(model), students=8, modules=2, seed=seed)
    imitation = Imitation(
        sg.teachers.RandomSubgroup(0.25), temperature=3.0, weight=sg.schedules.ramp_up(0.0, 0.2)
    )
    task = sg.CollaborativeLearning(
        kind(model, routes, init=new, share_head=True),
        [Supervised(), imitation],
        peers=peers,
        seed=seed,
    )
    begin, cpu = time.perf_counter(), time.process_time()
    train(task, data, epochs=args.epochs, seed=seed)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    networks = [task.group.export(student) for student in range(8)]
    as_trained = [accuracy(network, data) for network in networks]
    steps = sgd.SharedBatches(len(data.train), batch_size=64, seed=seed)
    for network in networks:
        torch.optim.swa_utils.update_bn((x for x, _, _ in batches(data, steps, seed)), network)
    estimated = [accuracy(network, data) for network in networks]
    return {
        "variant": variant, "seed": seed, "as_trained": as_trained, "re_estimated": estimated,
        "seconds": seconds, "cpu_seconds": cpu_seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: hub name or folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cells = load("batch_norm").get("cells", [])
    done = {(c["variant"], c["seed"]) for c in cells}
    for seed in range(args.seeds):
        for variant in VARIANTS:
            if (variant, seed) not in done:
                cells.append(cell(variant, seed, args))
                save("batch_norm", {"environment": environment(), "epochs": args.epochs, "cells": cells})
    print("| variant | as trained, % | re-estimated, % | CPU seconds |\n|---|---|---|---|")
    for variant in VARIANTS:
        own = [c for c in cells if c["variant"] == variant]
        columns = [[sum(c[key]) / 8 for c in own] for key in ("as_trained", "re_estimated")]
        columns.append([c["cpu_seconds"] for c in own])
        print(f"| {variant} | " + " | ".join(spread(column) for column in columns) + " |")


if __name__ == "__main__":
    main()
