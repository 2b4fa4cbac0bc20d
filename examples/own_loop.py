"""CGL in a training loop of your own: needs torch, scikit-learn and the core of studygroup, nothing else.

python examples/own_loop.py
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import studygroup as sg


def network() -> nn.Module:
    """Any network of yours."""
    return nn.Sequential(
        nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)
    )  # fmt: skip


def main(epochs: int = 60) -> float:
    """Trains eight students, ships the one best on the hold-out rows, returns its test accuracy."""
    torch.manual_seed(0)
    images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    train_x, test_x, train_y, test_y = train_test_split(
        images.float() / 16, labels, test_size=300, random_state=0
    )
    train_x, hold_x, train_y, hold_y = train_test_split(train_x, train_y, test_size=150, random_state=0)

    task = sg.recipes.cgl(network(), layers=["0", "2", "4"], students=8, init=network)
    optimiser = torch.optim.Adam(task.parameters(), lr=3e-3)
    owner_of = (
        torch.arange(len(train_x)) % 8
    )  # sub-set data learning: drawn once, the rows are in random order

    for epoch in range(epochs):
        task.train()
        for rows in torch.randperm(len(train_x)).split(256):
            losses = task(train_x[rows], train_y[rows], owner=owner_of[rows], progress=epoch / epochs)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()

    task.eval()
    with torch.no_grad():
        right = (task.group(hold_x).logits.argmax(-1) == hold_y).float().mean(1)
    best = int(right.argmax())
    net = task.group.export(student=best).eval()  # a plain nn.Sequential with its own keys
    accuracy = (net(test_x).argmax(1) == test_y).float().mean().item()
    print(
        f"hold-out {[f'{100 * r:.1f}' for r in right.tolist()]}; student {best} ships: test {100 * accuracy:.1f} %"
    )
    return accuracy


if __name__ == "__main__":
    main()
