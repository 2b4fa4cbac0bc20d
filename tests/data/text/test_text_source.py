import datasets
import pytest
import torch

from helpers.made_up import image_files, table
from studygroup.data.places import open_source
from studygroup.data.text.source import from_text_tables, holds_texts, text_columns

STRING, NUMBER = datasets.Value("string"), datasets.Value("int64")


def source(spec, image_size=None):
    return open_source(spec, image_size=image_size)


def write(folder, **files):
    """Writes CSV files called after their split."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def texts(columns, **features):
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)


def rows(split):
    return list(zip(split.texts(), split.labels.tolist(), strict=True))


def test_official_files(tmp_path):
    found = source(write(tmp_path / "yelp", train='"2","a\\nb"\n"1","c"\n"3","d"\n', test='"3","e"\n'))
    assert (found.name, found.classes) == ("yelp", ("1", "2", "3"))
    assert rows(found.train) == [("a\nb", 1), ("c", 0), ("d", 2)]
    assert rows(found.test) == [("e", 2)]


def test_official_files_with_names_of_classes(tmp_path):
    folder = write(tmp_path, train='"1","title","content","answer"\n"2","","",""\n')
    (folder / "classes.txt").write_text("Society & Culture\nHealth\r\nSports\n\n")
    (folder / "readme.txt").write_text("no data")
    found = source(folder)
    assert found.classes == ("Society & Culture", "Health", "Sports")
    assert rows(found.train) == [("title content answer", 0), ("  ", 1)]
    assert found.test is None


def test_more_classes_than_names(tmp_path):
    folder = write(tmp_path, train="1,a\n3,b\n2,c\n")
    (folder / "classes.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match=r"train, row 1: the label is 2 and there are 2 classes"):
        source(folder)


def test_a_class_that_is_in_the_test_rows_alone(tmp_path):
    with pytest.raises(ValueError, match=r"test, row 1: the label is 2 and there are 2 classes"):
        source(write(tmp_path, train="1,a\n2,b\n", test="1,a\n3,b\n"))


def test_a_header_with_numbers(tmp_path):
    found = source(write(tmp_path, train="text,label\na,0\nb,2\nc,1\nd,2\n", valid="label,text\n1,e\n"))
    assert found.classes == ("0", "1", "2")
    assert found.train.labels.tolist() == [0, 2, 1, 2]
    assert rows(found.test) == [("e", 1)]


def test_a_header_with_names(tmp_path):
    found = source(
        write(tmp_path, train="text,label\na,pos\nb,neg\nc,10 stars\nd,neg\n", test="text,label\ne,pos\n")
    )
    assert found.classes == ("10 stars", "neg", "pos")
    assert found.train.labels.tolist() == [2, 1, 0, 1]
    assert rows(found.test) == [("e", 2)]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("a,1\nb,0\nc,pos\n", "d,1\n", r"train, row 2: the label is 'pos' and others are whole numbers"),
        ("a,1\nb,0\n", "c,1\nd,x\n", r"test, row 1: the label is 'x' and others are whole numbers"),
        (
            "a,x\nb,y\n",
            "c,x\nd,z\n",
            r"test, row 1: the label is 'z' and the training rows have \('x', 'y'\)",
        ),
        (
            "a,1\nb,0\nc,7\n",
            "d,1\n",
            r"train: the largest label is 7 and no row has 5 .* from 0 on \(2, 3, 4, 5, 6\)",
        ),
        ("a,1\nb,-1\n", "d,1\n", r"train, row 1: the label is -1, below 0 \(1 such rows\)"),
        ("a,1\nb,0\n", "d,2\n", r"test, row 0: the label is 2 and there are 2 classes"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, train, test, message):
    with pytest.raises(ValueError, match=message):
        source(write(tmp_path, train="text,label\n" + train, test="text,label\n" + test))


@pytest.mark.parametrize(
    ("train", "test", "classes", "labels"),
    [
        (["1", "2", "5", "3", "4"], ["5", "1"], tuple("12345"), ([0, 1, 4, 2, 3], [4, 0])),
        (["0.0", "1.0"], ["1.0"], ("0", "1"), ([0, 1], [1])),
        (["True", "False"], ["True"], ("False", "True"), ([1, 0], [1])),
        (["b", "a", "c"], ["c", "b"], ("a", "b", "c"), ([1, 0, 2], [2, 1])),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_labels_of_a_header(tmp_path, train, test, classes, labels, ending):
    for split, values in (("train", train), ("test", test)):
        tab = "\t" if ending == "tsv" else ","
        lines = [f"text{tab}label", *(f"{i}{tab}{value}" for i, value in enumerate(values))]
        (tmp_path / f"{split}.{ending}").write_text("\n".join(lines))
    found = source(tmp_path)
    assert (found.classes, found.train.labels.tolist(), found.test.labels.tolist()) == (classes, *labels)


def test_official_files_that_lack_a_class(tmp_path):
    with pytest.raises(
        ValueError, match=r"largest label is 4 and no row has 2 of the labels from 1 on \(2, 3\)"
    ):
        source(write(tmp_path, train="1,a\n4,b\n", test="1,a\n"))
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    assert source(tmp_path).train.labels.tolist() == [0, 3]
    (tmp_path / "classes.txt").write_bytes("é\nb\nc\nd\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt cannot be read as text in UTF-8"):
        source(tmp_path)


def test_a_header_beside_a_class_number(tmp_path):
    with pytest.raises(ValueError, match=r"test\.csv begin with a header and the others with a class number"):
        source(write(tmp_path, train="1,a\n", test="text,label\na,0\n"))


def test_withheld_test_labels_give_way_to_the_validation_split(tmp_path):
    folder = write(
        tmp_path, train="text,label\na,0\nb,1\n", test="text,label\nc,-1\n", validation="text,label\nd,1\n"
    )
    assert rows(source(folder).test) == [("d", 1)]


@pytest.mark.parametrize(
    "names", [["data/train-00000-of-00002", "data/train-00001-of-00002"], ["train/0", "train/1"]]
)
def test_csv_files_of_one_split(tmp_path, names):
    for number, name in enumerate(names):
        write((tmp_path / name).parent, **{name.split("/")[1]: f"1,{number}\n"})
    assert list(source(tmp_path).train.texts()) == ["0", "1"]


def test_one_csv_file_of_any_name_is_for_training(tmp_path):
    assert len(source(write(tmp_path, reviews="1,a\n1,b\n")).train) == 2


def test_csv_files_without_training_split(tmp_path):
    with pytest.raises(ValueError, match=r"no training split among a\.csv, b\.csv; call its file train\.csv"):
        source(write(tmp_path, a="1,a\n", b="1,b\n"))


def test_pictures_with_a_csv_file_beside_them(tmp_path):
    image_files(tmp_path, {"a": 1, "b": 1})
    assert source(write(tmp_path, labels="file,label\nx,1\n")).classes == ("a", "b")


def test_pictures_with_texts_beside_them(tmp_path):
    both = table([0, 1]).add_column("caption", ["one", "two"])
    assert not holds_texts({"train": both})
    both.to_parquet(tmp_path / "train.parquet")
    assert source(tmp_path).train.shape == (3, 6, 5)


def test_parquet_files(tmp_path):
    features = datasets.Features(text=STRING, stars=NUMBER, label=datasets.ClassLabel(names=["neg", "pos"]))
    both = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "stars": [9, 1], "label": [1, 0]}, features=features
    )
    both.to_parquet(tmp_path / "train.parquet")
    both.to_parquet(tmp_path / "test.parquet")
    found = source(tmp_path)
    assert found.classes == ("neg", "pos")
    assert rows(found.train) == rows(found.test) == [("a", 1), ("b", 0)]


@pytest.mark.parametrize("size", [(8, 8), (1, 1)])
def test_texts_have_no_image_size(tmp_path, size):
    with pytest.raises(ValueError, match=r"image_size is \(\d, \d\) and .* holds texts; leave it out"):
        source(write(tmp_path / "csv", train="1,a\n"), image_size=size)
    (tmp_path / "parquet").mkdir()
    texts({"text": ["a"], "label": [0]}).to_parquet(tmp_path / "parquet" / "train.parquet")
    with pytest.raises(ValueError, match="holds texts; leave it out"):
        source(tmp_path / "parquet", image_size=size)


def hub(monkeypatch, **tables):
    """Tables that the hub gives, whatever the name."""
    monkeypatch.setattr(datasets, "load_dataset", lambda name: tables)


def test_imdb_of_the_hub(monkeypatch):
    some = {"text": ["bad<br />", "good"], "label": [0, 1]}
    hub(monkeypatch, train=texts(some), test=texts(some), unsupervised=texts({"text": ["?"], "label": [-1]}))
    found = source("stanfordnlp/imdb")
    assert found.name == "stanfordnlp/imdb"
    assert rows(found.train) == rows(found.test) == [("bad<br />", 0), ("good", 1)]


def test_yelp_of_the_hub_has_newlines_as_its_csv_files(monkeypatch, tmp_path):
    hub(monkeypatch, train=texts({"text": ["a\\nb", "c"], "label": [1, 0]}))
    official = source(write(tmp_path, train='"2","a\\nb"\n"1","c"\n'))
    assert rows(source("Yelp/yelp_review_full").train) == rows(official.train) == [("a\nb", 1), ("c", 0)]
    assert rows(source("someone/else").train)[0] == ("a\\nb", 1)


def test_yahoo_of_the_hub(monkeypatch):
    columns = {
        "id": [0, 1],
        "topic": [1, 0],
        "question_title": ["t", "u"],
        "question_content": ["", "c"],
        "best_answer": ["a\\n", "b"],
    }
    topic = datasets.ClassLabel(names=["Society & Culture", "Health"])
    kinds = {"question_title": STRING, "question_content": STRING, "best_answer": STRING}
    hub(monkeypatch, train=texts(columns, id=NUMBER, topic=topic, **kinds))
    found = source("community-datasets/yahoo_answers_topics")
    assert found.classes == ("Society & Culture", "Health")
    assert rows(found.train) == [("t  a\n", 1), ("u c b", 0)]


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (["text", "title", "content"], ("text",)),
        (
            ["best_answer", "question_content", "question_title"],
            ("question_title", "question_content", "best_answer"),
        ),
        (["content", "title"], ("title", "content")),
        (["sentence"], ("sentence",)),
        (["sentence", "label"], ("sentence",)),
    ],
)
def test_columns_of_text(columns, chosen):
    assert text_columns(dict.fromkeys(columns, STRING) | {"idx": NUMBER}) == chosen


@pytest.mark.parametrize("features", [{"a": STRING, "b": STRING}, {"text": NUMBER}, {"label": STRING}])
def test_no_clear_column_of_text(features):
    with pytest.raises(
        ValueError, match=r"columns hold strings and none is called 'text': .*(a|text|label): "
    ):
        text_columns(features)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"test": {"text": ["a"], "label": [0]}}, r"no rows in a split 'train', only \['test'\]"),
        ({"train": {"text": [], "label": []}}, "no rows in a split 'train'"),
        (
            {"train": {"text": ["a", None], "label": [0, 1]}},
            r"x train, row 1: there is no text in column 'text'",
        ),
        (
            {"train": {"text": ["a", "b"], "label": [0, None]}},
            r"x train, row 1: there is no label in column 'label'",
        ),
        (
            {"train": {"text": ["a", "b"], "label": ["u", None]}},
            r"x train, row 1: there is no label in column",
        ),
        (
            {"train": {"text": ["a", "b"], "label": [0, 9]}},
            r"x train: the largest label is 9 and no row has 8 of the labels",
        ),
        (
            {"train": {"text": ["a"], "label": [0.5]}},
            r"x train, row 0: the label is 0\.5 in column 'label', not a class number",
        ),
    ],
)
def test_tables_that_do_not_fit(tables, message):
    with pytest.raises(ValueError, match=message):
        from_text_tables("x", {split: texts(columns) for split, columns in tables.items()})


def test_human_labels_beside_the_training_rows_alone(tmp_path):
    texts({"text": ["a", "b"], "label": [1, 0], "noisy": [0, 0]}).to_parquet(tmp_path / "train.parquet")
    texts({"text": ["c"], "label": [1]}).to_parquet(tmp_path / "test.parquet")
    found = source(tmp_path)
    assert (rows(found.train), rows(found.test)) == ([("a", 1), ("b", 0)], [("c", 1)])


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"text": ["a"]}, r"x test has the columns text: .* and in 'label' not what the training split has"),
        ({"text": ["a"], "label": ["0"]}, r"x test has the columns .* and in 'label' not"),
        ({"title": ["a"], "label": [0]}, r"x test has the columns title: .* and in 'text' not"),
    ],
)
def test_splits_that_are_not_alike(test, message):
    with pytest.raises(ValueError, match=message):
        from_text_tables("x", {"train": texts({"text": ["a"], "label": [0]}), "test": texts(test)})


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "start"),
    [
        ("imdb", 25000, 25000, ("neg", "pos"), "Story of a man"),
        (
            "sst5",
            8544,
            2210,
            ("very negative", "negative", "neutral", "positive", "very positive"),
            "a stirring , funny",
        ),
        ("ag_news_10k", 10000, 7600, ("World", "Sports", "Business", "Sci/Tech"), "Update 1: Vivendi"),
        ("trec", 5452, 500, ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"), "How did serfdom develop"),
    ],
)
def test_real_texts(shared, name, train, test, classes, start):
    found = source(shared(name))
    assert (found.name, found.classes) == (name, classes)
    assert (len(found.train), len(found.test)) == (train, test)
    assert torch.equal(found.train.labels.unique(), torch.arange(len(classes)))
    first = next(iter(found.train.texts()))
    assert first.startswith(start)
    if name == "imdb":  # sorted by label
        assert found.train.labels.tolist() == [0] * 12500 + [1] * 12500


def test_blank_lines_name_no_class_and_no_name_stands_twice(tmp_path):
    folder = write(tmp_path, train="1,a\n2,b\n")
    (folder / "classes.txt").write_text("World\r\n\r\n  Sports \n \n")
    assert source(folder).classes == ("World", "Sports")
    (folder / "classes.txt").write_text("World\nWorld\n")
    with pytest.raises(ValueError, match=r"classes\.txt names two classes 'World'; give each"):
        source(folder)
