"""Test error of intra-model collaborative learning, each part alone and in the published combinations.

    python benchmarks/intra_cells.py --data CIFAR10

3,000 images of CIFAR-10 (300 held out), thin networks (width 16, two hidden layers of 256), ResNet-18 at 16 x 16
pixels and 16 epochs, VGG-16, whose five poolings need them all, at 32 x 32 and 12 epochs. The paper's schedule in
small: SGD with momentum 0.9, weight decay 5e-4, rate times 0.2 after 30, 60 and 80 % of the epochs; batch 32 and
rate 0.02 (the paper: 128 and 0.1), as 3,000 images in batches of 128 are too few updates to learn from. Clean cells
first, then with 50 % symmetric noise redrawn every epoch, ResNet-18 before VGG-16; all cells with seed 0, then 1,
then 2. The table prints n: below 3 nothing should be claimed.
"""

from typing import Any

import cells

PARTS = {
    "baseline": {},
    "L_out": {"out": 1.0},
    "L_mid": {"mid": 1.0},
    "L_pull-push": {"pull_push": 0.01},
    "L_kernel": {"kernel": 0.01},
    "L_out + L_mid + L_pull-push": {"out": 1.0, "mid": 1.0, "pull_push": 0.01},
    "L_mid + L_pull-push + L_kernel": {"mid": 1.0, "pull_push": 0.01, "kernel": 0.01},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "ResNet-18": {"model": "cifar_resnet18", "image_size": [16, 16], "epochs": 16},
    "VGG-16": {"model": "cifar_vgg16", "epochs": 12},
}
NOISES = {
    "clean": {},
    "50 % noise": {
        "noise": {"class_path": "studygroup.data.SymmetricNoise", "init_args": {"rate": 0.5, "redraw": True}}
    },
}
COMMON = {
    "train_rows": 3000,
    "holdout": 0.1,
    "model_options": {"width": 16, "hidden": [256, 256]},
    "augment": {"class_path": "studygroup.data.PadCropFlip", "init_args": {"padding": 2}},
    "batch_size": 32,
    "optimizer": {
        "class_path": "SGD",
        "init_args": {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4},
    },
    "channels_last": True,
    "threads": 1,
}


def falling(epochs: int) -> dict[str, Any]:
    """The paper's schedule over so many epochs."""
    milestones = [round(epochs * share) for share in (0.3, 0.6, 0.8)]
    return {"class_path": "MultiStep", "init_args": {"multiply": 0.2, "milestones": milestones}}


def main() -> None:
    args = cells.parser(__doc__).parse_args()
    wanted = {
        f"{network}, {noise}, {part}": {
            **COMMON,
            **NOISES[noise],
            **NETWORKS[network],
            "rate": falling(NETWORKS[network]["epochs"]),
            "recipe": {"class_path": "intra", "init_args": weights} if weights else "baseline",
        }
        for noise in NOISES
        for network in NETWORKS
        for part, weights in PARTS.items()
    }
    found = cells.run("intra_cells", wanted, args)
    print("| network | labels | parts | n | test error, % |")
    print("|---|---|---|---|---|")
    for cell in [cell for cell in wanted if cell in found]:
        network, noise, part = cell.split(", ")
        error = cells.spread(found[cell], "test", error=True)
        print(f"| {network} | {noise} | {part} | {len(found[cell])} | {error} |")


if __name__ == "__main__":
    main()
