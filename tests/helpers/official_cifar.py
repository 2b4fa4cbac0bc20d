"""CIFAR-10's official pickles, byte by byte, from the rows of another copy: torchvision checks their MD5 sums.

The archives were written by Python 2's cPickle (protocol 2), which no pickler of today reproduces.
"""

import struct

import numpy as np


class Writer:
    """Writes values as Python 2's cPickle did, every key, string and list with its number in the memo."""

    def __init__(self):
        self.parts = [b"\x80\x02}"]
        self.memos = 0
        self.memo()
        self.parts.append(b"(")

    def memo(self):
        self.memos += 1
        self.parts.append(
            b"q" + bytes([self.memos]) if self.memos < 256 else b"r" + struct.pack("<I", self.memos)
        )

    def text(self, value):
        self.parts.append(b"U" + bytes([len(value)]) + value.encode())
        self.memo()

    def number(self, value):
        self.parts.append(b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value))

    def sequence(self, values):
        self.parts.append(b"]")
        self.memo()
        for start in range(0, len(values), 1000):
            self.parts.append(b"(")
            for value in values[start : start + 1000]:
                self.text(value) if isinstance(value, str) else self.number(value)
            self.parts.append(b"e")

    def array(self, value):
        self.parts.append(b"cnumpy.core.multiarray\n_reconstruct\n")
        self.memo()
        self.parts.append(b"cnumpy\nndarray\n")
        self.memo()
        self.parts.append(b"K\x00\x85U\x01b\x87R")
        self.memo()
        self.parts.append(
            b"(K\x01M" + struct.pack("<H", value.shape[0]) + b"M" + struct.pack("<H", value.shape[1])
        )
        self.parts.append(b"\x86cnumpy\ndtype\n")
        self.memo()
        self.parts.append(b"U\x02u1K\x00K\x01\x87R")
        self.memo()
        self.parts.append(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T")
        self.parts.append(struct.pack("<I", value.size) + value.tobytes() + b"tb")

    def bytes(self):
        return b"".join([*self.parts, b"u."])


def batch(name, labels, pixels, files):
    """One data file: `pixels` uint8 (rows, 3, 32, 32)."""
    writer = Writer()
    writer.text("batch_label")
    writer.text(name)
    writer.text("labels")
    writer.sequence(labels)
    writer.text("data")
    writer.array(np.ascontiguousarray(pixels).reshape(len(pixels), -1))
    writer.text("filenames")
    writer.sequence(files)
    return writer.bytes()


def meta(classes):
    """The file of class names."""
    writer = Writer()
    writer.text("num_cases_per_batch")
    writer.number(10_000)
    writer.text("label_names")
    writer.sequence(classes)
    writer.text("num_vis")
    writer.number(3072)
    return writer.bytes()
