"""A network of transformers on digits, with its Trainer."""

import sys

import torch
from sklearn.datasets import load_digits
from transformers import TrainingArguments, ViTConfig, ViTForImageClassification

import studygroup as sg
from studygroup.integrations.transformers import StudyTrainer


def network():
    config = ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, num_labels=10,
    )  # fmt: skip
    return ViTForImageClassification(config)


def digits():
    x, y = map(torch.as_tensor, load_digits(return_X_y=True))
    images = (x.float() / 16).view(-1, 1, 8, 8)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    parts = order.split([1000, 200, 597])
    return [
        [{"pixel_values": images[i], "labels": y[i], "name": f"digit {i}"} for i in rows] for rows in parts
    ]


def compute_metrics(found):
    return {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()}


def main(folder, epochs=30, **options):
    torch.manual_seed(0)
    train, holdout, test = digits()
    args = TrainingArguments(
        folder, num_train_epochs=epochs, learning_rate=0.003, per_device_train_batch_size=32, eval_strategy="epoch",
        **options,
    )  # fmt: skip
    model = sg.recipes.dml(network(), students=2, init=network)
    trainer = StudyTrainer(
        model,
        args,
        train_dataset=train,
        eval_dataset=holdout,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    model = model.shipped.export(sg.best_student(model, trainer.get_eval_dataloader()))
    model.eval()
    x, y = (torch.stack([row[name] for row in test]) for name in ("pixel_values", "labels"))
    return (model(x.to(model.device)).logits.argmax(1).cpu() == y).double().mean().item()


if __name__ == "__main__":
    print(f"{main(sys.argv[1]):.1%} of the test rows")
