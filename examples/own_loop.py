"""Four networks that teach each other, in a training loop of your own, and the plain network beside them.

Needs torch, scikit-learn and the core of studygroup, nothing else:

    python examples/own_loop.py
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import studygroup as sg

LABELLED, HELD_OUT, TEST = 100, 50, 897  # of 1,797 digits; labels are what is dear


def network() -> nn.Module:
    """Build any network of yours."""
    return nn.Sequential(
        nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)
    )  # fmt: skip


def digits(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Draw the labelled rows and those held out; the test rows are the same for every seed."""
    images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    pool = order[TEST:][torch.randperm(len(order) - TEST, generator=torch.Generator().manual_seed(seed))]
    parts = pool.split([LABELLED, HELD_OUT, len(pool) - LABELLED - HELD_OUT])
    rows = dict(zip(("train", "hold-out", "unused"), parts, strict=True), test=order[:TEST])
    return {name: (images[some].float() / 16, labels[some]) for name, some in rows.items()}


def fit(
    task: sg.CollaborativeLearning, x: Tensor, y: Tensor, *, epochs: int, lr: float = 0.01, batch: int = 16
) -> None:
    """Train a task; with one student it is the plain network."""
    optimiser = torch.optim.Adam(task.parameters(), lr=lr)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    task.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            losses = task(x[rows], y[rows], progress=epoch / epochs)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
        rate.step()
    task.eval()


@torch.no_grad()
def accuracies(task: sg.CollaborativeLearning, x: Tensor, y: Tensor) -> tuple[list[float], float]:
    """Score each student, and the ensemble: the mean of their class probabilities."""
    logits = task.group(x).logits  # (students, rows, classes)
    students = (logits.argmax(-1) == y).double().mean(1)
    return students.tolist(), (logits.softmax(-1).mean(0).argmax(-1) == y).double().mean().item()


def main(seed: int = 0, epochs: int = 60) -> dict[str, float]:
    """Train both on the same rows, ship the student that is best on the hold-out rows, score it on the test rows."""
    rows = digits(seed)
    torch.manual_seed(seed)
    plain = sg.recipes.baseline(network())
    fit(plain, *rows["train"], epochs=epochs)
    torch.manual_seed(seed)
    task = sg.recipes.dml(network(), students=4, temperature=3.0, scale_by_t2=True, init=network)
    fit(task, *rows["train"], epochs=epochs)

    held_out, _ = accuracies(task, *rows["hold-out"])
    best = held_out.index(max(held_out))
    net = task.group.export(student=best).eval()  # a plain nn.Sequential with its own keys
    x, y = rows["test"]
    students, ensemble = accuracies(task, x, y)
    found = {
        "shipped": (net(x).argmax(1) == y).double().mean().item(),
        "plain": accuracies(plain, x, y)[0][0],
        "students_mean": sum(students) / len(students),
        "ensemble": ensemble,
    }
    print(
        f"{len(y)} test rows: student {best} ships with {found['shipped']:.1%}, the plain network has "
        f"{found['plain']:.1%};\nthe mean of the four students is {found['students_mean']:.1%}, their ensemble "
        f"{found['ensemble']:.1%}."
    )
    return found


if __name__ == "__main__":
    main()
