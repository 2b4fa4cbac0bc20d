"""Images per second that loader, augmentation and normalisation deliver, and that the model consumes.

Measures batches of 512 (8 students x 64 rows) and 64 images from memory and from a memory map of encoded images,
end to end on one device, and a few training steps of the fastest network (CIFAR ResNet-18 of width 8). The target
is five times the model's rate, so that the input never limits training. If other programs share the processor,
`--threads 1` disturbs the model least; the load is saved with the result.

    python reproduction/benchmarks/loader.py --data FOLDER [--workers 2]

`--data` takes what `studygroup.data.load` takes; it should be CIFAR-10.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from environment import environment, save
from studygroup.data import (
    Batch,
    Data,
    PadCropFlip,
    SharedBatches,
    Split,
    StudentBatches,
    load,
    loader,
    subsets,
)
from studygroup.models import cifar_resnet18

TARGET = 5.0


def measured(
    step: Callable[[], int], *, warm_up: int, steps: int, synchronise: Callable[[], None]
) -> list[float]:
    """Return images per second of each step after the first ones."""
    rates = []
    for number in range(warm_up + steps):
        begun = time.perf_counter()
        images = step()
        synchronise()
        if number >= warm_up:
            rates.append(images / (time.perf_counter() - begun))
    return rates


def summary(rates: list[float]) -> dict[str, float | int]:
    """Return median and quartiles in images per second."""
    low, middle, high = statistics.quantiles(rates, n=4)
    return {
        "n": len(rates),
        "median": round(middle),
        "lower_quartile": round(low),
        "upper_quartile": round(high),
    }


def endless(split: Split, sampler: StudentBatches | SharedBatches, workers: int) -> Iterator[Batch]:
    """Yield batches of one epoch after the other."""
    batches = loader(split, sampler, workers=workers, pin_memory=torch.cuda.is_available())
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from batches
        epoch += 1


def delivering(
    split: Split, data: Data, students: int, workers: int, device: torch.device
) -> Callable[[], int]:
    """Take one step of the whole way from the split to normalised images on the device."""
    rows = len(split)
    sampler = StudentBatches(subsets(rows, students)) if students > 1 else SharedBatches(rows)
    batches = endless(split, sampler, workers)
    augment, normalise = PadCropFlip(), data.form.ready(channels_last=False).to(device)
    generator = torch.Generator().manual_seed(0)

    def step() -> int:
        images = next(batches).inputs.to(device, non_blocking=True)
        return len(normalise(augment(images, generator=generator)))

    return step


def training(batch_size: int, device: torch.device) -> Callable[[], int]:
    """Take one training step of the fastest network."""
    net = cifar_resnet18(10, width=8).to(device)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch_size, 3, 32, 32, device=device)
    labels = torch.randint(10, (batch_size,), device=device)

    def step() -> int:
        optimiser.zero_grad()
        cross_entropy(net(images), labels).backward()
        optimiser.step()
        return batch_size

    return step


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10, as studygroup.data.load takes it")
    parser.add_argument("--rows", type=int, default=10_000, help="training rows to use")
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement of the loader")
    parser.add_argument("--model-steps", type=int, default=8, help="training steps of the model")
    parser.add_argument("--workers", type=int, default=2, help="loader processes for the memory map")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def compared(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Return one result for each batch size and each way of keeping the images."""
    device = torch.device(options.device)
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    sizes = {"train_rows": options.rows, "test_rows": 10, "holdout": 0}
    kept, mapped = load(options.data, **sizes), load(options.data, in_memory_bytes=0, **sizes)
    storages = [("memory", kept, 0), ("memory map", mapped, 0), ("memory map", mapped, options.workers)]
    for students, batch_size in ((8, 512), (1, 64)):
        step = training(batch_size, device)
        model = summary(measured(step, warm_up=2, steps=options.model_steps, synchronise=synchronise))
        for storage, data, workers in storages:
            step = delivering(data.train, data, students, workers, device)
            rate = summary(measured(step, warm_up=3, steps=options.steps, synchronise=synchronise))
            times = round(rate["median"] / model["median"], 1)
            where = {"storage": storage, "workers": workers, "batch": batch_size}
            yield where | {
                "loader": rate,
                "model": model,
                "times_the_model": times,
                "target_met": times >= TARGET,
            }


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    results = []
    for result in compared(options):
        results.append(result)
        print(
            "{storage}, {workers} workers, batch {batch}: {loader[median]} images/s, model {model[median]}: "
            "{times_the_model} times".format(**result)
        )
    save("loader", {"unit": "images per second", "environment": environment(), "results": results})


if __name__ == "__main__":
    main()
