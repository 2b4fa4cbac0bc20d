import datasets
import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from helpers.made_up import table
from studygroup.data import HumanNoise, TrueLabels, UnrelatedLabelsWarning, load

TRUE = [0, 1, 0] * 20
SAID = [1 - label if row % 7 == 0 else label for row, label in enumerate(TRUE)]


@pytest.fixture
def folder(tmp_path):
    """A data set of 60 training rows."""
    path = tmp_path / "pets"
    path.mkdir()
    table(TRUE).to_parquet(path / "train.parquet")
    table([0, 1] * 6, start=100).to_parquet(path / "test.parquet")
    return path


def human(tmp_path, name="said.parquet", **columns):
    content = pyarrow.table(columns)
    path = tmp_path / name
    pyarrow.csv.write_csv(content, path) if name.endswith("csv") else pyarrow.parquet.write_table(
        content, path
    )
    return str(path)


@pytest.mark.parametrize("name", ["said.parquet", "said.csv"])
@pytest.mark.parametrize(
    "sizes", [{"holdout": 0}, {"holdout": 12}, {"train_rows": 30, "holdout": 9, "seed": 5}]
)
def test_labels_follow_their_rows(folder, tmp_path, name, sizes):
    noise = HumanNoise(path=human(tmp_path, name, said=SAID, clean_label=TRUE), column="said")
    data = load(folder, noise=noise, **sizes)
    assert data.training_labels(0).tolist() == [SAID[row] for row in data.train_truth.rows.tolist()]
    assert torch.equal(data.training_labels(0), data.training_labels(8))
    assert data.holdout.labels.tolist() == [SAID[row] for row in data.holdout_truth.rows.tolist()]
    assert data.train.labels.tolist() == [TRUE[row] for row in data.train_truth.rows.tolist()]
    assert data.test.labels.tolist() == [0, 1] * 6


def test_the_holdout_can_stay_clean(folder, tmp_path):
    noise = HumanNoise(path=human(tmp_path, said=SAID), column="said")
    data = load(folder, holdout=12, noise=noise, holdout_noise=False)
    assert torch.equal(data.holdout.labels, data.holdout_truth.labels)


@pytest.mark.filterwarnings("ignore::studygroup.data.NoTestSplitWarning")
def test_the_data_sets_own_table_serves(tmp_path):
    own = table(TRUE).add_column("noisy_label", SAID)
    own.to_parquet(tmp_path / "train.parquet")
    data = load(tmp_path, holdout=6, noise=HumanNoise(path=str(tmp_path), column="noisy_label"))
    assert data.training_labels(0).tolist() == [SAID[row] for row in data.train_truth.rows.tolist()]


def test_a_table_of_the_hub_serves(folder, monkeypatch):
    asked = {}
    content = datasets.Dataset.from_dict({"said": SAID, "text": ["x"] * 60})
    noise = HumanNoise(path="someone/labels", column="said")
    loaded = load(folder, holdout=0)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **how: asked.update({name: how}) or content)
    labels = noise(loaded.train_truth, seed=0)
    assert asked == {"someone/labels": {"split": "train"}}
    assert labels(0).tolist() == SAID


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"said": SAID[:50]}, "has 50 rows and the training set 60"),
        ({"told": SAID}, r"no column 'said' of numbers, only \['told'\]"),
        ({"said": ["a"] * 60, "n": TRUE}, r"no column 'said' of numbers, only \['n'\]"),
        ({"said": [*SAID[:-1], 2]}, r"column 'said', row 59: the label is 2 and there are 2 classes"),
        ({"said": [*SAID[:-1], None]}, r"row 59: there is no label in column 'said'"),
        (
            {"said": SAID, "clean_label": [*TRUE[:-2], 0, 0]},
            r"in 1 of 60 rows column 'clean_label' is not the data's label \(row 58: 0 there, 1 in the data\)",
        ),
        ({"said": SAID, "label": [1 - c for c in TRUE]}, "in 60 of 60 rows column 'label'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder, tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        load(folder, holdout=0, noise=HumanNoise(path=human(tmp_path, **columns), column="said"))


def test_which_column_is_clean(folder, tmp_path):
    other = [1 - c for c in TRUE]
    path = human(
        tmp_path, noisy_label=SAID, clean_label=TRUE, noisy_group=SAID, clean_group=other, label=other
    )
    for column, clean in (("noisy_label", None), ("noisy_group", "clean_label")):
        load(folder, holdout=0, noise=HumanNoise(path=path, column=column, clean_column=clean))
    with pytest.raises(ValueError, match="column 'clean_group' is not the data's label"):
        load(folder, holdout=0, noise=HumanNoise(path=path, column="noisy_group"))
    with pytest.raises(ValueError, match="no column 'cleaned'"):
        load(folder, holdout=0, noise=HumanNoise(path=path, column="noisy_group", clean_column="cleaned"))


def test_a_table_that_cannot_be_read_is_named(folder, tmp_path):
    broken = tmp_path / "broken.parquet"
    with open(human(tmp_path, said=SAID), "rb") as good:
        broken.write_bytes(good.read()[:-30])
    with pytest.raises(ValueError, match=r"broken\.parquet is not a whole table"):
        load(folder, holdout=0, noise=HumanNoise(path=str(broken), column="said"))


def whole(path, column):
    return torch.from_numpy(pyarrow.parquet.read_table(path, columns=[column])[column].to_numpy().copy())


def of_all(labels, names):
    return TrueLabels(labels=labels, rows=torch.arange(len(labels)), published=len(labels), classes=names)


@pytest.mark.parametrize(
    ("column", "rate"),
    [("aggre_label", 0.0901), ("random_label1", 0.1723), ("random_label2", 0.1812), ("worse_label", 0.4021)],
)
def test_real_cifar10n(shared, column, rate):
    true = whole(shared("cifar10") / "train.parquet", "label")
    noise = HumanNoise(path=str(shared("cifar10n")), column=column)
    labels = noise(of_all(true, tuple("0123456789")), seed=0)(0)
    assert (labels != true).float().mean().item() == pytest.approx(rate, abs=5e-5)


def test_real_news_with_their_own_column(shared):
    path = shared("ag_news_10k")
    true = whole(path / "train.parquet", "label")
    labels = HumanNoise(path=str(path), column="noisy_label")(of_all(true, tuple("0123")), seed=0)(0)
    assert (labels == true).float().mean().item() == pytest.approx(0.8025, abs=5e-5)


def authors(path, *, package="numpy.core", **columns):
    """A file by `torch.save`, with arrays as NumPy 1 (`numpy.core`) or 2 (`numpy._core`) pickled them."""
    arrays = {name: np.array(values) for name, values in columns.items()}
    torch.save(arrays, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    there = next(name for name in (b"numpy._core", b"numpy.core") if name + b".multiarray\n" in content)
    path.write_bytes(content.replace(there + b".multiarray\n", package.encode() + b".multiarray\n"))
    return str(path)


@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_the_authors_files(folder, tmp_path, package):
    path = authors(tmp_path / "human.pt", package=package, clean_label=TRUE, worse_label=SAID)
    data = load(folder, holdout=12, noise=HumanNoise(path=path, column="worse_label"))
    assert data.training_labels(0).tolist() == [SAID[row] for row in data.train_truth.rows.tolist()]
    other = authors(tmp_path / "other.pt", clean_label=TRUE[1:] + TRUE[:1], worse_label=SAID)
    with pytest.raises(ValueError, match="column 'clean_label' is not the data's label"):
        load(folder, noise=HumanNoise(path=other, column="worse_label"))


@pytest.mark.parametrize(
    "kind", [torch.tensor, list, lambda v: np.array(v, np.uint8), lambda v: np.array(v, float)]
)
def test_torchs_own_files(folder, tmp_path, kind):
    torch.save({"said": kind(SAID), "clean_label": TRUE, "note": "x", 3: np.eye(2)}, tmp_path / "said.PTH")
    noise = HumanNoise(path=str(tmp_path / "said.PTH"), column="said")
    assert load(folder, holdout=0, noise=noise).training_labels(0).tolist() == SAID


class _Harmful:
    """Its pickle would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: {"said": SAID, "more": _Harmful(path)}, r"said\.pt cannot be read as arrays alone"),
        (lambda path: {"said": np.array([_Harmful(path)])}, r"said\.pt cannot be read as arrays alone"),
        (lambda path: torch.nn.Linear(1, 1), r"said\.pt cannot be read as arrays alone"),
        (lambda path: SAID, r"said\.pt holds list without arrays of numbers by name"),
        (lambda path: {"said": ["a"] * 60}, r"said\.pt holds dict without arrays of numbers by name"),
        (lambda path: {"said": SAID, "b": SAID[:-1]}, r"said\.pt is not a whole table"),
    ],
)
def test_files_of_anything_else_are_refused(folder, tmp_path, content, message):
    torch.save(content(tmp_path / "harm"), tmp_path / "said.pt")
    with pytest.raises(ValueError, match=message):
        load(folder, noise=HumanNoise(path=str(tmp_path / "said.pt"), column="said"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["said.npy", "said.pkl", "said.xlsx"])
def test_other_kinds_of_files_are_refused(folder, tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"ends in '\.\w+'; give a Parquet or CSV file, or arrays saved by torch"
    ):
        load(folder, noise=HumanNoise(path=str(tmp_path / name), column="said"))
    with pytest.raises(ValueError, match="there is no file or folder"):
        load(folder, noise=HumanNoise(path=str(tmp_path / "gone.pt"), column="said"))


def test_whole_floats_serve_and_others_do_not(folder, tmp_path):
    path = human(tmp_path, said=[float(label) for label in SAID], part=[0.5] * 60)
    assert (
        load(folder, holdout=0, noise=HumanNoise(path=path, column="said")).training_labels(0).tolist()
        == SAID
    )
    with pytest.raises(ValueError, match=r"row 0: the label is 0\.5 in column 'part'"):
        load(folder, noise=HumanNoise(path=path, column="part"))


def test_numbers_are_the_datas_own(tmp_path):
    """Where classes are called 1 and 2, so they are in the table."""
    table([label + 1 for label in TRUE], names=None).to_parquet(tmp_path / "train.parquet")
    table([1, 2], names=None).to_parquet(tmp_path / "test.parquet")
    path = human(
        tmp_path, "said.csv", said=[label + 1 for label in SAID], zero=SAID, clean_label=[c + 1 for c in TRUE]
    )
    loaded = load(tmp_path, holdout=0, noise=HumanNoise(path=path, column="said"))
    assert loaded.classes == ("1", "2")
    assert loaded.training_labels(0).tolist() == SAID
    with pytest.raises(ValueError, match=r"row 2: the label is 0 in column 'zero', .* numbers from 1 on"):
        load(tmp_path, noise=HumanNoise(path=path, column="zero"))


def test_labels_of_other_rows_are_told_by_chance(folder, tmp_path):
    """Without true labels beside them, the order of rows shows in how often both agree."""
    said = [label if row % 5 else 1 - label for row, label in enumerate(TRUE)]
    path = human(tmp_path, said=said, other=said[1:] + said[:1])
    load(folder, noise=HumanNoise(path=path, column="said"))
    with pytest.warns(UnrelatedLabelsWarning, match=r"agrees .* in [0-9.]+% of the rows.*clean_column"):
        load(folder, noise=HumanNoise(path=path, column="other"))
