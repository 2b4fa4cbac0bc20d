"""Small files in the formats of STL-10 and ImageNet32, written pixel by pixel as their authors describe them."""

import pickle

import numpy as np

from helpers.made_up import picture

CLASSES = ["airplane", "bird", "car"]


def stl10(folder, train, test, classes=CLASSES):
    """STL-10's binary files: labels from 1, pictures channel by channel, each column by column.

    `train` and `test` are labels; picture n of all is `picture(n, size=(96, 96))`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class_names.txt").write_text("\n".join(classes) + "\n")
    (folder / "unlabeled_X.bin").write_bytes(b"not read")
    start = 0
    for split, labels in (("train", train), ("test", test)):
        content = bytearray()
        for number in range(start, start + len(labels)):
            pixels = picture(number, size=(96, 96))
            for channel in range(3):
                for column in range(96):
                    content += bytes(pixels[row, column, channel] for row in range(96))
        (folder / f"{split}_X.bin").write_bytes(bytes(content))
        (folder / f"{split}_y.bin").write_bytes(bytes(labels))
        start += len(labels)
    return folder


def flat(pixels):
    """A picture as one row: all of red, then green, then blue, each row by row."""
    high, wide, _ = pixels.shape
    return [pixels[y, x, c] for c in range(3) for y in range(high) for x in range(wide)]


def content(labels, start, size=32, listed=False):
    """What one batch file holds: row i shows `picture(start + i)`."""
    rows = [flat(picture(start + i, size=(size, size))) for i in range(len(labels))]
    data = np.array(rows, np.uint8)
    return {
        "data": data,
        "labels": list(labels) if listed else np.array(labels, np.int64),
        "mean": data.mean(0) / 255,
    }


def as_npz(path, made):
    np.savez(path.with_suffix(".npz"), **made)


def as_compressed_npz(path, made):
    np.savez_compressed(path.with_suffix(".npz"), **made)


def as_pickle(protocol):
    def write(path, made):
        path.write_bytes(pickle.dumps(made, protocol=protocol))

    return write


def imagenet32(folder, batches, validation, *, write=as_npz, places=("", "")):
    """ImageNet32's files: ten batches of labels from 1, then the validation rows; pictures are numbered through."""
    start = 0
    for place, names, files in (
        (places[0], [f"train_data_batch_{i + 1}" for i in range(len(batches))], batches),
        (places[1], ["val_data"], [validation]),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name, labels in zip(names, files, strict=True):
            write(
                folder / place / name, content(labels, start, listed=write not in (as_npz, as_compressed_npz))
            )
            start += len(labels)
    return folder
