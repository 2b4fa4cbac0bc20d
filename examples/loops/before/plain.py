"""A network on digits, in a plain loop."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def network():
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))


def digits():
    x, y = map(torch.as_tensor, load_digits(return_X_y=True))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [TensorDataset(x[rows].float() / 16, y[rows]) for rows in order.split([300, 100, 1397])]


def main(epochs=30):
    torch.manual_seed(0)
    train, holdout, test = digits()
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    for epoch in range(epochs):
        for x, y in DataLoader(train, batch_size=32, shuffle=True):
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    x, y = test.tensors
    return (model(x).argmax(1) == y).double().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test rows")
