"""A network of torchvision on digits, with Lightning."""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import VisionTransformer


def network():
    return VisionTransformer(
        image_size=8, patch_size=2, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10
    )


def digits():
    x, y = map(torch.as_tensor, load_digits(return_X_y=True))
    images = (x.float() / 16).view(-1, 1, 8, 8).expand(-1, 3, 8, 8)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [TensorDataset(images[rows], y[rows]) for rows in order.split([300, 100, 1397])]


class Digits(LightningModule):
    """What is trained, and how."""

    def __init__(self):
        super().__init__()
        self.model = network()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self.model(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.model(x)
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.003)


def main(epochs=30, **options):
    torch.manual_seed(0)
    train, holdout, test = digits()
    module = Digits()
    trainer = Trainer(max_epochs=epochs, **options)
    trainer.fit(module, DataLoader(train, batch_size=32, shuffle=True), DataLoader(holdout, batch_size=100))
    model = module.model
    model.eval()
    x, y = test.tensors
    return (model(x).argmax(1) == y).double().mean().item()


if __name__ == "__main__":
    print(f"{main():.1%} of the test rows")
