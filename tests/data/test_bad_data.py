"""Pictures and labels beyond all measure, refused before anything of their size is made."""

import shutil
import struct
import time
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.made_up import image_files, table
from studygroup.data import load

pytestmark = pytest.mark.filterwarnings("ignore::studygroup.data.NoTestSplitWarning")


def huge_picture(width, height):
    """A PNG that says how large it is, and holds a few bytes."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(12_000, 12_000), (30_000, 30_000)], ids=["warned of", "refused"])
@pytest.mark.parametrize("image_size", [None, 8])
def test_a_picture_beyond_pillows_limit(size, image_size, tmp_path):
    folder = image_files(tmp_path / "data", {"a": 12, "b": 12})
    (folder / "b" / "test_3.png").write_bytes(huge_picture(*size))
    start = time.process_time()
    with pytest.raises(ValueError, match=r"row \d+.*(exceeds limit|could be decompression bomb)"):
        load(folder, image_size=image_size)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        *((10**9, pa.int64()), (2**62, pa.int64()), (2**63 + 1, pa.uint64()), (float(10**9), pa.float64())),
        *(("1" + "0" * 30, pa.string()), ("1" + "0" * 6000, pa.string()), (-1, pa.int64())),
    ],
    ids=str,
)
def test_a_label_beyond_all_measure(label, kind, tmp_path):
    labels = [type(label)(k % 2) for k in range(24)]
    plain = table([0, 1] * 12).data.table
    held = pa.table({"image": plain.column("img"), "label": pa.array([label, *labels[1:]], kind)})
    pq.write_table(held, tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"label"):
        load(tmp_path)


def test_a_label_beyond_all_measure_in_texts(tmp_path):
    rows = "".join(f'"text {k}",{k % 2}\n' for k in range(24))
    for label in (10**9, 10**30, "9" * 6000):
        (tmp_path / "train.csv").write_text(f'text,label\n{rows}"more",{label}\n')
        with pytest.raises(ValueError, match="label"):
            load(tmp_path)


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    folder = image_files(tmp_path / "data", {"a": 12, "b": 12})
    shutil.rmtree(folder / "b")
    with pytest.raises(ValueError, match="has one class, 'a', and there is nothing to tell apart"):
        load(folder)
