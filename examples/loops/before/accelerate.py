"""A network on digits, in a loop of accelerate."""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def network():
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))


def digits():
    x, y = map(torch.as_tensor, load_digits(return_X_y=True))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [TensorDataset(x[rows].float() / 16, y[rows]) for rows in order.split([300, 100, 1397])]


def main(epochs=30, **options):
    torch.manual_seed(0)
    train, holdout, test = digits()
    accelerator = Accelerator(gradient_accumulation_steps=2, **options)
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.005)
    loader = DataLoader(train, batch_size=16, shuffle=True)
    model, optimiser, loader = accelerator.prepare(model, optimiser, loader)
    for epoch in range(epochs):
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(x), y)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                optimiser.zero_grad()
    model = accelerator.unwrap_model(model)
    model.eval()
    x, y = (tensor.to(accelerator.device) for tensor in test.tensors)
    return (model(x).argmax(1) == y).double().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test rows")
