"""Labels are read by the names of their classes, however a table stores them."""

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from helpers.made_up import encoded
from studygroup.data import load
from studygroup.data.labels import read_classes
from studygroup.data.places import open_source


def named(names, numbers):
    """A split whose ClassLabel has these names, in this order."""
    features = datasets.Features(label=datasets.ClassLabel(names=names))
    return datasets.Dataset.from_dict({"label": numbers}, features=features)


def column(values, kind=None):
    return datasets.Dataset(
        pyarrow.table({"label": pyarrow.array(np.asarray(values)).cast(kind)})
        if kind
        else pyarrow.table({"label": values})
    )


def read(**tables):
    labels, classes = read_classes("pets", tables)
    return {split: values.tolist() for split, values in labels.items()}, classes


def called(labels, classes):
    return {split: [classes[number] for number in numbers] for split, numbers in labels.items()}


@pytest.mark.parametrize(
    ("names", "numbers", "meant"),
    [
        (["cat", "cow", "dog"], [2, 0], ["dog", "cat"]),
        (["cow", "dog"], [0, 1, 0], ["cow", "dog", "cow"]),  # a class without rows there
        (["dog", "cow", "cat"], [0, 1, 2], ["dog", "cow", "cat"]),  # another order
        (["bird", "cat", "cow", "dog"], [1, 3, 2], ["cat", "dog", "cow"]),  # one more, without rows
    ],
)
@pytest.mark.parametrize("split", ["test", "validation"])
def test_another_splits_names_are_matched(names, numbers, meant, split):
    labels, classes = read(train=named(["cat", "cow", "dog"], [0, 1, 2]), **{split: named(names, numbers)})
    assert classes == ("cat", "cow", "dog")
    assert called(labels, classes) == {"train": ["cat", "cow", "dog"], split: meant}


def test_names_match_strings():
    strings, numbers = column(["dog", "cat"]), named(["dog", "cat"], [0, 1])
    assert read(train=strings, test=numbers) == ({"train": [1, 0], "test": [1, 0]}, ("cat", "dog"))
    assert read(train=numbers, test=strings) == ({"train": [0, 1], "test": [0, 1]}, ("dog", "cat"))


def test_a_name_that_no_training_row_can_have():
    message = r"pets test, row 1: the label is 'bird' and the training rows have \('cat', 'dog'\) \(2 such"
    with pytest.raises(ValueError, match=message):
        read(train=named(["cat", "dog"], [0, 1]), test=named(["cat", "bird"], [0, 1, 1]))


@pytest.mark.parametrize("test", [column([0, 1]), column(["0", "1"])])
def test_names_here_and_numbers_there(test):
    with pytest.raises(ValueError, match=r"pets test.* bring both to one form"):
        read(train=named(["cat", "dog"], [0, 1]), test=test)


def test_withheld_labels_give_way():
    train, held = named(["cat", "dog"], [0, 1]), named(["dog"], [-1, -1])
    labels, _ = read(train=train, test=held, validation=named(["dog", "cat"], [0]))
    assert labels == {"train": [0, 1], "validation": [1]}
    with pytest.raises(ValueError, match="pets test, row 0: the label is -1"):
        read(train=train, test=held)


@pytest.mark.parametrize(
    ("train", "test", "labels", "classes"),
    [
        (column([0, 2, 1]), column([2]), ([0, 2, 1], [2]), ("0", "1", "2")),
        (column([3, 1, 2, 1]), column([1, 3]), ([2, 0, 1, 0], [0, 2]), ("1", "2", "3")),
        (column([1, 2], "uint8"), column([2.0]), ([0, 1], [1]), ("1", "2")),
        (column([0.0, 1.0]), column([1], "uint64"), ([0, 1], [1]), ("0", "1")),
        (column([1.0, 2.0], "float16"), column([1.0]), ([0, 1], [0]), ("1", "2")),
        (column(["2", "1"]), column(["1"]), ([1, 0], [0]), ("1", "2")),
        (column(["0.0", "1.0"]), column(["1"]), ([0, 1], [1]), ("0", "1")),
        (column(["b", " a"]), column(["a ", "b"]), ([1, 0], [0, 1]), ("a", "b")),
        (column([True, False]), column([True]), ([1, 0], [1]), ("False", "True")),
        (column([True, True]), column([False]), ([1, 1], [0]), ("False", "True")),
        (column(["true", "false"]), column(["true"]), ([1, 0], [1]), ("false", "true")),
        (column(["a", "b"], "large_string"), column(["b"]), ([0, 1], [1]), ("a", "b")),
    ],
)
def test_kinds_of_labels(train, test, labels, classes):
    assert read(train=train, test=test) == ({"train": labels[0], "test": labels[1]}, classes)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            column([0, 2, 5]),
            column([0]),
            r"largest label is 5 and no row has 3 .* on \(1, 3, 4\); number the",
        ),
        (column([2, 3]), column([2]), r"largest label is 3 and no row has 2 .* from 0 on \(0, 1\)"),
        (column([1, 3]), column([1]), r"largest label is 3 and no row has 1 .* from 1 on \(2\)"),
        (column([0, 10**12]), column([0]), r"largest label is 1000000000000 and no row has 999999999999"),
        (column([0, 1, -1, -7]), column([0]), r"train, row 2: the label is -1, below 0 \(2 such rows\)"),
        (column([1, 2]), column([2, 0]), r"test, row 1: the label is 0 and the training rows have 1 to 2"),
        (column([1, 2]), column([3]), r"test, row 0: the label is 3 and the training rows have 1 to 2"),
        (column([0, 1]), column([1, 2]), r"test, row 1: the label is 2 and there are 2 classes"),
        (column([0.0, 0.5]), column([0]), r"train, row 1: the label is 0\.5 in column 'label', not a class"),
        (column([0.0, float("inf")]), column([0]), r"train, row 1: the label is inf"),
        (column([0.0, float("nan")]), column([0]), r"train, row 1: there is no label in column 'label'"),
        (column([0, 2**63 + 5], "uint64"), column([0]), r"train, row 1: the label is 92233720368547758\d\d"),
        (column([0.0, 1e30]), column([0]), r"train, row 1: the label is 1e\+30"),
        (column(["a", " "]), column(["a"]), r"train, row 1: there is no label in column 'label'"),
        (column(["1", "a"]), column(["1"]), r"train, row 1: the label is 'a' and others are whole numbers"),
        (column(["a", "b"]), column(["1"]), r"test: some labels are whole numbers, and in the other split"),
        (column([True, False]), column([1]), r"test has the columns label: .* bring both to one form"),
        (column([[0, 1]]), column([[1]]), r"0 columns hold class labels"),
    ],
)
def test_labels_that_do_not_fit(train, test, message):
    with pytest.raises(ValueError, match=message):
        read(train=train, test=test)


def parquet(folder, **splits):
    """Pictures whose grey tells the class, with labels as given."""
    for split, (greys, labels) in splits.items():
        pictures = [{"bytes": encoded(np.full((4, 4), grey, np.uint8)), "path": None} for grey in greys]
        table = labels.add_column("image", pictures).cast_column("image", datasets.Image())
        table.to_parquet(folder / f"{split}.parquet")


def test_pictures_of_the_test_rows_keep_their_class(tmp_path):
    """Each split was numbered by itself, and one lacks a class."""
    greys = {"cat": 40, "cow": 120, "dog": 220}
    train, test = ["cat", "cow", "dog"] * 4, ["dog", "cow"] * 3
    parquet(
        tmp_path,
        train=([greys[n] for n in train], column(train).class_encode_column("label")),
        test=([greys[n] for n in test], column(test).class_encode_column("label")),
    )
    data = load(tmp_path, holdout=0)
    for split in (data.train, data.test):
        shown = [greys[data.classes[label]] for label in split.labels.tolist()]
        assert split.images[:, 0, 0, 0].tolist() == shown


def test_pictures_with_strings(tmp_path):
    parquet(tmp_path, train=([1, 2, 3], column(["b", "a", "b"])), test=([4], column(["b"])))
    found = open_source(tmp_path, image_size=None)
    assert (found.classes, found.train.labels.tolist()) == (("a", "b"), [1, 0, 1])
    assert found.test.labels.tolist() == [1]


def test_pictures_in_one_split_alone(tmp_path):
    parquet(tmp_path, train=([1, 2], column([0, 1])))
    pyarrow.parquet.write_table(pyarrow.table({"label": [0]}), tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"test has the columns label: .* and in 'image' not what"):
        open_source(tmp_path, image_size=None)


def test_categories_of_data_frames(tmp_path):
    for split, names in {"train": ["b", "a", "c"], "test": ["c", "b"]}.items():
        kind = pyarrow.array(names).dictionary_encode()
        pyarrow.parquet.write_table(
            pyarrow.table({"text": names, "label": kind}), tmp_path / f"{split}.parquet"
        )
    found = open_source(tmp_path, image_size=None)
    assert found.classes == ("a", "b", "c")
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([1, 0, 2], [2, 1])


def test_texts_named_by_each_split(tmp_path):
    for split, names in {"train": ["cow", "cat", "dog"], "test": ["dog", "cow"]}.items():
        table = datasets.Dataset.from_dict({"text": names, "label": names}).class_encode_column("label")
        table.to_parquet(tmp_path / f"{split}.parquet")
    found = open_source(tmp_path, image_size=None)
    for split in (found.train, found.test):
        assert list(split.texts()) == [found.classes[label] for label in split.labels.tolist()]
