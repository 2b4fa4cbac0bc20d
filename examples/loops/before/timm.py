"""A network of timm on digits, with its optimiser, layer decay, schedule, mixup, CutMix and moving average."""

import timm
import torch
from sklearn.datasets import load_digits
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch.utils.data import DataLoader, TensorDataset


def network():
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=2, in_chans=1, embed_dim=32, depth=2, num_heads=2,
        num_classes=10, drop_path_rate=0.1,
    )  # fmt: skip


def digits():
    x, y = map(torch.as_tensor, load_digits(return_X_y=True))
    images = (x.float() / 16).view(-1, 1, 8, 8)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [TensorDataset(images[rows], y[rows]) for rows in order.split([1000, 200, 597])]


def main(epochs=30):
    torch.manual_seed(0)
    train, holdout, test = digits()
    model = network()
    optimiser = create_optimizer_v2(model, opt="adamw", lr=0.005, weight_decay=0.05, layer_decay=0.8)
    scheduler, _ = create_scheduler_v2(optimiser, sched="cosine", num_epochs=epochs, warmup_epochs=2)
    averages = ModelEmaV3(model, decay=0.95)
    mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, prob=0.5, label_smoothing=0.1, num_classes=10)
    loss_of = SoftTargetCrossEntropy()
    for epoch in range(epochs):
        for x, y in DataLoader(train, batch_size=32, shuffle=True, drop_last=True):
            x, y = mixup(x.clone(), y)
            loss = loss_of(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            averages.update(model)
        scheduler.step(epoch + 1)
    model = averages.module
    model.eval()
    x, y = test.tensors
    return (model(x).argmax(1) == y).double().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test rows")
