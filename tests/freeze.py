"""Freezes what this version writes, so that later ones are known to open it: `tests/frozen/VERSION`.

    python tests/freeze.py

Run it once, at a release, and commit the folder; `tests/test_frozen.py` finds it. Nothing in an older folder is ever
written anew.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from sklearn.datasets import load_digits
from torchvision.io import write_png

import studygroup as sg
from helpers.networks import CASES
from helpers.snapshot_tasks import RECIPES
from studygroup.training import predict

FROZEN = Path(__file__).parent / "frozen"
CASE = CASES["mlp"]
STATES = ("cgl", "pcl")
"""Recipes whose tasks are saved by `torch.save(task.state_dict())`."""
PICTURES = {
    "recipe": {"class_path": "cgl", "init_args": {"students": 3, "layers": ["layer2.0", "layer3.0"]}},
    "data": "digits",
    "model": "cifar_resnet20",
    "model_options": {"width": 2},
    "train_rows": 400,
    "test_rows": 200,
    "holdout": 100,
    "epochs": 3,
    "batch_size": 20,
    "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.05, "momentum": 0.9}},
    "accelerator": "cpu",
    "baseline": True,
}
TEXTS = {
    "recipe": {"class_path": "dml", "init_args": {"students": 2}},
    "data": "reviews",
    "tokenizer": {
        "class_path": "studygroup.data.SentencePiece",
        "init_args": {"vocabulary": 40, "length": 16},
    },
    "model": "text_transformer",
    "model_options": {
        "embedding": 8, "hidden": 8, "heads": 2, "blocks": 1, "feed_forward": 16, "length": 16,
    },
    "holdout": 20,
    "epochs": 4,
    "batch_size": 8,
    "optimizer": {"class_path": "Adam", "init_args": {"lr": 0.01}},
    "accelerator": "cpu",
    "threads": 1,
    "baseline": False,
}  # fmt: skip
WORDS = (("dull", "slow", "awful", "weak"), ("lovely", "bright", "great", "strong"))
ASKED = ["a great and lovely plot", "the weak plot was awful"]


README = """# What studygroup {version} wrote

Made by `python tests/freeze.py` with torch {torch} from a checkout of that version, and never written anew; the
next version's folder is made by the same command, once, at its release. `tests/test_frozen.py` opens all of them.

- `pictures/`: the run folder of `studygroup train --config pictures.yaml --run_dir pictures`. Each checkpoint is
  compressed (gzip); TensorBoard's events, locks and the baseline's checkpoints are left out.
- `texts/`: what ships of `studygroup train --config texts.yaml --run_dir texts`, trained on sentences that the
  script makes up.
- `predictions.json`: what `studygroup predict` said of `seven.png` and of two sentences.
- {states}: `torch.save(task.state_dict(), ...)` of these recipes after one step on a small network;
  `*_answers.pt`: what their shipped students then said in `eval`.
"""


def train(config: dict, folder: Path) -> None:
    """Trains by the command line, in the working directory."""
    Path(f"{folder.name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = ["train", "--config", f"{folder.name}.yaml", "--run_dir", folder.name]
    subprocess.run([sys.executable, "-m", "studygroup.cli", *command], check=True)


def pictures(folder: Path) -> None:
    """A whole run folder, without what is large or of no use: locks, TensorBoard's events, the baseline's states."""
    train(PICTURES, folder)
    for path in (*folder.rglob(".lock"), *folder.rglob("tensorboard"), folder / "baseline" / "checkpoints"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (folder / "checkpoints").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


def texts(folder: Path) -> None:
    """What ships of a run on texts: the weights, the card and the tokenizer."""
    for name, rows in (("train", 120), ("test", 40)):
        lines = [
            f"{WORDS[n % 2][n // 2 % 4]} and {WORDS[n % 2][n // 8 % 4]} was the plot {n},{n % 2}"
            for n in range(rows)
        ]
        Path("reviews").mkdir(exist_ok=True)
        Path(f"reviews/{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    train(TEXTS, folder)
    for path in folder.iterdir():
        if path.name not in ("student.safetensors", "README.md", "tokenizer"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def state(recipe: str, folder: Path) -> None:
    """The state of a task after a step, and what its shipped students answer."""
    torch.manual_seed(0)
    task = RECIPES[recipe](CASE).train()
    owner = torch.arange(8) % task.group.students if recipe == "cgl" else None
    task(CASE.inputs(8), torch.arange(8) % 7, owner=owner).total.backward()
    torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.1).step()
    torch.save(task.state_dict(), folder / f"{recipe}.pt")
    task.eval()
    with torch.no_grad():
        answers = {"x": CASE.inputs(8), "logits": task.shipped(CASE.inputs(8)).logits, "step": task.step}
    torch.save(answers, folder / f"{recipe}_answers.pt")


def freeze(folder: Path) -> None:
    """Writes everything into a folder that is not there yet."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    digit = torch.from_numpy(load_digits().images[7] / 16 * 255).round().to(torch.uint8)
    write_png(digit[None], "seven.png")
    for recipe in STATES:
        state(recipe, folder)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        pictures(Path("pictures"))
        texts(Path("texts"))
        for name in ("pictures", "texts"):
            shutil.copytree(name, folder / name)
            shutil.copy(f"{name}.yaml", folder)
    os.chdir(folder)
    asked = {"pictures": ["seven.png"], "texts": ASKED}
    answers = {
        name: {
            given: found.probabilities for given, found in zip(what, predict(what, folder=name), strict=True)
        }
        for name, what in asked.items()
    }
    states = ", ".join(f"`{recipe}.pt`" for recipe in STATES)
    text = README.format(version=folder.name, torch=torch.__version__, states=states)
    Path("README.md").write_text(text)
    Path("predictions.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    freeze(FROZEN / sg.__version__)
