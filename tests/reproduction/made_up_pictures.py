import torch

from reproduction.gpu.pictures import SPLITS, Pictures


def made_up(rows=(160, 40, 40), size=8, classes=4):
    """Pictures that are told apart by their class's pattern, with noise."""
    draw = torch.Generator().manual_seed(0)
    patterns = torch.randint(256, (classes, 3, size, size), generator=draw)
    images, labels = {}, {}
    for split, count in zip(SPLITS, rows, strict=True):
        labels[split] = torch.randint(classes, (count,), generator=draw)
        noise = torch.randint(-20, 21, (count, 3, size, size), generator=draw)
        images[split] = (patterns[labels[split]] + noise).clamp(0, 255).to(torch.uint8) & 0xF8 | 4
    return Pictures(images, labels, classes, "made up")
