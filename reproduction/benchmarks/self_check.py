"""Cost of the comparison of a group with its students: CPU seconds of construction and of the first steps.

    python -m reproduction.benchmarks.self_check [resnet50] [vit_b_16] [bert]

Three students part in the last block, two rows a batch, one process. The first step has the dry run in it, the next
ones do not. To compare with another version, set PYTHONPATH.
"""

import sys
import time
from collections.abc import Callable

import torch
import torchvision
from torch import nn

import studygroup as sg
from studygroup.inputs import Inputs

_STEPS = 4
_ROWS = 2


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(num_labels=1000))


def _images() -> Inputs:
    return torch.randn(_ROWS, 3, 224, 224)


def _texts() -> Inputs:
    ids = torch.randint(1, 30_000, (_ROWS, 128))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str], Callable[[], Inputs]]] = {
    "resnet50": (torchvision.models.resnet50, ["layer4", "fc"], _images),
    "vit_b_16": (torchvision.models.vit_b_16, ["encoder.layers.encoder_layer_11", "heads"], _images),
    "bert": (_bert, ["bert.encoder.layer.11", "classifier"], _texts),
}


def measure(name: str) -> tuple[float, list[float]]:
    """Return the CPU seconds of construction, and of each of the first steps, forward and backward.

    Args:
        name: one of `NETWORKS`.
    """
    torch.manual_seed(0)
    build, layers, inputs = NETWORKS[name]
    network, batch = build(), inputs()
    start = time.process_time()
    group = sg.StudyGroup(network, sg.routes.branches(layers, students=3), init="copy")
    construction = time.process_time() - start
    steps = []
    for _ in range(_STEPS):
        start = time.process_time()
        torch.autograd.backward(group(batch).logits.logsumexp(-1).sum())
        steps.append(time.process_time() - start)
    return construction, steps


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NETWORKS:
        construction, steps = measure(chosen)
        print(
            f"{chosen}: construction {construction:.2f} s, steps {', '.join(f'{s:.2f}' for s in steps)} s",
            flush=True,
        )
