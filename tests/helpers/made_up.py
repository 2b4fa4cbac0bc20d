"""Small data sets of made-up pictures."""

import io

import datasets
import numpy as np
import PIL.Image


def picture(number, *, size=(6, 5), grey=False):
    """Pixels that tell images apart: (height, width, 3) or (height, width)."""
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    return pixels[:, :, 0] if grey else pixels


def encoded(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def table(labels, *, names=("cat", "dog"), start=0, label="label", image="img", **options):
    """A table of encoded images, row i showing `picture(start + i)`."""
    records = [
        {"bytes": encoded(picture(start + i, **options)), "path": f"{i}.png"} for i in range(len(labels))
    ]
    kind = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")
    features = datasets.Features({image: datasets.Image(), label: kind})
    return datasets.Dataset.from_dict({image: records, label: labels}, features=features)


def image_files(folder, counts, *, start=0, **options):
    """Writes `counts[name]` PNG files into one sub-folder per class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            PIL.Image.fromarray(picture(start + i, **options)).save(folder / name / f"test_{i}.png")
    return folder
