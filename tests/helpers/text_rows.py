"""Small tables of texts, and a tokenizer that is easy to follow."""

import datasets
import torch

from studygroup.data.text import TextSplit


class WordLengths:
    """One id a word: the number of its letters, so that 0 is free to fill up."""

    padding = 0

    def __init__(self, *, vocabulary=50, length=6, full=False, name="lengths"):
        self.vocabulary, self.length, self.full, self.fingerprint = vocabulary, length, full, name
        self.calls = []

    def __call__(self, texts):
        self.calls.append(len(texts))
        return [[len(word) for word in text.split(" ")][: self.length] for text in texts]

    def save(self, folder):
        raise NotImplementedError


def text_split(texts, *, name="made up", **options):
    """A split over texts (or mappings of columns), row i of class i % 3."""
    columns = texts if isinstance(texts, dict) else {"text": texts}
    table = datasets.Dataset.from_dict(columns)
    return TextSplit(
        table,
        columns=tuple(columns),
        labels=torch.arange(len(table)) % 3,
        rows=torch.arange(len(table)),
        name=name,
        **options,
    )
