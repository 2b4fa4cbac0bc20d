"""Test accuracy of every method on a small part of CIFAR-10.

    python benchmarks/methods_cifar.py --data CIFAR10

3,000 images (300 held out), scaled to 16 x 16, ResNet-18 of width 16, 10 epochs of Adam at 2e-3 under a cosine, batch
64 (64 a student for CGL, so that its epoch has an eighth of the updates). The same for all methods; no method's own
settings were searched for. All methods with seed 0, then 1, then 2.
"""

import cells

METHODS = {
    "baseline": "baseline",
    "multi_instance": "multi_instance",
    "tree": {
        "class_path": "tree",
        "init_args": {"table": {"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}},
    },
    "cl_ilr": "cl_ilr",
    "dml": "dml",
    "one": "one",
    "okddip": "okddip",
    "kdcl": "kdcl",
    "pcl": "pcl",
    "byot": {"class_path": "byot", "init_args": {"inner": ["layer1", "layer2", "layer3"]}},
    "auxiliary_training": {"class_path": "auxiliary_training", "init_args": {"inner": ["layer2", "layer3"]}},
    "cgl": "cgl",
    "cgl, all rows for each": {"class_path": "cgl", "init_args": {"subsets": False}},
}
COMMON = {
    "train_rows": 3000,
    "holdout": 0.1,
    "image_size": [16, 16],
    "model": "cifar_resnet18",
    "model_options": {"width": 16},
    "augment": {"class_path": "studygroup.data.PadCropFlip", "init_args": {"padding": 2}},
    "epochs": 10,
    "batch_size": 64,
    "optimizer": {"class_path": "Adam", "init_args": {"lr": 0.002}},
    "rate": "Cosine",
    "channels_last": True,
    "threads": 1,
}


def main() -> None:
    args = cells.parser(__doc__).parse_args()
    wanted = {name: {**COMMON, "recipe": recipe} for name, recipe in METHODS.items()}
    found = cells.run("methods_cifar", wanted, args)
    print("| method | n | test, shipped | test, mean of students | test, ensemble | updates |")
    print("|---|---|---|---|---|---|")
    for name in [name for name in wanted if name in found]:
        runs = found[name]
        scores = " | ".join(cells.spread(runs, figure) for figure in ("test", "students_mean", "ensemble"))
        updates = next(iter(runs.values()))["updates"]
        print(f"| {name} | {len(runs)} | {scores} | {updates:,} |")


if __name__ == "__main__":
    main()
