"""The runs of each cell: their number, the papers' settings at full scale, what small changes, and their keys."""

import dataclasses
import pickle
from pathlib import Path

import pytest
import yaml

from reproduction.equal_cost import AS_LONG
from reproduction.reading import Parts, read_paper, table_called, tables
from reproduction.scale import SMALL, Regime, Scale
from studygroup import models
from studygroup.training import Settings

REGIMES = Path(__file__).parents[2] / "reproduction" / "regimes"
EXAMPLES = Path(__file__).parents[2] / "examples"
COUNTS = {
    "intra-table-1": (32, 32),
    "intra-table-2": (32, 32),
    "intra-stand-in": (8, 8),
    "intra-table-3": (30, 30),
    "intra-figure-2": (30, 30),
    "intra-memory": (3, 0),
    "cgl-table-1": (24, 0),
    "cgl-table-2": (36, 33),
    "cgl-table-3": (24, 24),
    "cgl-ag-news": (6, 6),
    "cgl-table-4": (4, 4),
    "cgl-table-5": (4, 4),
    "cgl-table-6": (12, 12),
    "cgl-table-7": (32, 16),
    "cgl-figure-3": (30, 30),
    "cgl-figure-3b": (60, 0),
    "cgl-figure-4": (10, 10),
    "cgl-figure-5": (10, 5),
    "cgl-figure-6": (12, 12),
    "cgl-appendix-cost": (4, 0),
    "cgl-appendix-time": (30, 30),
    "cgl-appendix-convergence": (2, 0),
    "regime-rows": (10, 10),
    "regime-epochs": (16, 16),
    "regime-settings": (42, 42),
    "regime-methods": (26, 26),
}


def test_all_tables_are_there_with_their_cells():
    assert {id: (len(table.cells), len(table.runnable)) for id, table in tables().items()} == COUNTS


@pytest.mark.parametrize(
    ("example", "id", "row", "column"),
    [
        ("intra_cifar_paper", "intra-table-1", "CIFAR-100, VGG-16", "out+mid+pull-push"),
        ("intra_imagenet32_paper", "intra-table-2", "ImageNet32, ResNet-18", "mid+pull-push+kernel"),
        ("intra_stl10_paper", "intra-table-2", "STL-10, ResNet-18", "mid+pull-push+kernel"),
        ("cgl_cifar10_paper", "cgl-table-2", "ResNet-18, CIFAR-10", "CGL"),
        ("cgl_imdb_paper", "cgl-table-3", "Transformer, IMDB", "CGL"),
        ("cgl_yelp_paper", "cgl-table-3", "VDCNN-9, Yelp Review Full", "CGL"),
    ],
)
def test_full_is_the_example_of_the_paper(full, example, id, row, column):
    theirs = Settings.from_config(yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())).config()
    ours = full.settings(table_called(id).cells[row, column], seed=0).config()
    assert {k: v for k, v in ours.items() if k != "baseline"} == {
        k: v for k, v in theirs.items() if k != "baseline"
    }


def of(lab, id, row, column, *names):
    """Some settings of a cell; `optimizer.lr` is an argument of the optimiser."""
    config = lab.config(table_called(id).cells[row, column])
    values = []
    for name in names:
        first, _, rest = name.partition(".")
        values.append(config[first]["init_args"][rest] if rest else config[first])
    return values


def test_intra_has_the_printed_settings(full):
    names = (
        "epochs",
        "batch_size",
        "optimizer.lr",
        "rate.milestones",
        "rate.multiply",
        "optimizer.weight_decay",
    )
    cifar = [200, 128, 0.1, [60, 120, 160], 0.2, 5e-4]
    for row in table_called("intra-table-1").rows:
        assert of(full, "intra-table-1", row, "out", *names) == cifar
    imagenet = [40, 256, 0.1, [12, 24, 36], 0.2, 5e-4]
    assert of(full, "intra-table-2", "ImageNet32, VGG-16", "out", *names) == imagenet
    stl = [200, 128, 0.05, [60, 120, 180], 0.2, 5e-4]
    assert of(full, "intra-table-2", "STL-10, VGG-16", "baseline(2x)", *names) == stl
    stl[1] = 64  # half, for memory
    assert of(full, "intra-table-2", "STL-10, ResNet-18", "baseline(2x)", *names) == stl
    for row in table_called("intra-table-1").rows:
        assert of(full, "intra-table-1", row, "baseline", "model_options") == [
            {"width": 64, "hidden": [512, 512]}
        ]
        assert of(full, "intra-table-1", row, "baseline(2x)", "model_options") == [
            {"width": 128, "hidden": [512, 512]}
        ]
        assert of(full, "intra-table-1", row, "out", "optimizer.momentum", "recipe.out") == [0.9, 1.0]
    levels = [
        of(full, "intra-figure-2", row, "mid", "noise.rate")[0] for row in table_called("intra-figure-2").rows
    ]
    assert levels == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_the_columns_of_intra_are_its_parts(full):
    weights = {"out": 1.0, "mid": 1.0, "pull_push": 0.01, "kernel": 0.01}
    for column in table_called("intra-table-3").columns:
        names = [word.replace("-", "_") for word in column.split("+")]
        recipe = of(full, "intra-table-3", "VGG-16", column, "recipe")[0]
        assert recipe == {"class_path": "intra", "init_args": {name: weights[name] for name in names}}


def test_cgl_has_the_printed_settings(full):
    pictures = ("epochs", "batch_size", "optimizer.lr", "rate.milestones", "rate.multiply", "holdout")
    for row, column in table_called("cgl-table-2").cells:
        if AS_LONG not in row:
            assert of(full, "cgl-table-2", row, column, *pictures) == [
                200,
                64,
                1e-3,
                [60, 120, 160],
                0.5,
                5000,
            ]
    texts = ("epochs", "batch_size", "optimizer.lr", "rate", "holdout")
    assert of(full, "cgl-table-3", "VDCNN-9, Yahoo! Answers", "ONE", *texts) == [
        20,
        64,
        1e-3,
        "Constant",
        50000,
    ]
    assert of(full, "cgl-table-3", "Transformer, IMDB", "DML", *texts) == [30, 64, 1e-4, "Constant", 2000]
    students = {"cgl-table-2": 3, "cgl-table-3": 5}
    for id, probability in (("cgl-table-2", 0.25), ("cgl-table-3", 0.5)):
        for row in (row for row in table_called(id).rows if AS_LONG not in row):
            for column in ("DML", "CL-ILR", "ONE", "OKDDip"):
                assert of(full, id, row, column, "recipe.students") == [students[id]]
            names = ("recipe.students", "recipe.modules", "recipe.probability", "recipe.ramp")
            assert of(full, id, row, "CGL", *names) == [8, 2, probability, [0.0, 0.2]]


def test_holdout_sets_are_those_of_table_1():
    published = table_called("cgl-table-1")
    for id in ("cgl-table-2", "cgl-table-3"):
        for cell in table_called(id).runnable:
            train, held = (
                published.cells[cell.data.name, column].published.mean for column in ("train", "hold-out")
            )
            assert (cell.data.holdout, cell.data.rows) == (held, train + held)


def test_ablations_change_one_thing(full):
    row, base = "ResNet-18, CIFAR-100", "cgl-table-4"
    whole = of(full, base, row, "full CGL", "recipe")[0]["init_args"]
    changed = {
        "without random routing": {"layers": [""], "modules": 8},
        "without sub-set learning": {"subsets": False},
        "without sub-group imitation": {"probability": 1.0},
    }
    for column, change in changed.items():
        assert of(full, base, row, column, "recipe")[0]["init_args"] == whole | change


def test_figure_3_has_its_students_at_constant_cost(full):
    for number in (3, 4, 6, 8, 12, 16):
        for method in ("DML", "CL-ILR", "ONE", "OKDDip", "CGL"):
            assert of(full, "cgl-figure-3", f"{number} students", method, "recipe.students") == [number]
        (probability,) = of(full, "cgl-figure-3", f"{number} students", "CGL", "recipe.probability")
        assert number * probability == pytest.approx(2, abs=1e-5)
        assert round(number * probability) == 2  # peers that are asked


def test_small_keeps_shares(small):
    names = (
        "epochs",
        "train_rows",
        "holdout",
        "rate.milestones",
        "model_options",
        "image_size",
        "augment.padding",
    )
    resnet = of(small, "cgl-table-2", "ResNet-18, CIFAR-100", "CGL", *names)
    assert resnet == [65, 7_000, 2_000, [20, 39, 52], {"width": 16}, [8, 8], 1]
    wide = of(small, "intra-table-2", "STL-10, VGG-16", "baseline(2x)", *names)
    assert wide == [40, 5_000, 500, [12, 24, 36], {"width": 32, "hidden": [512, 512]}, [32, 32], 4]
    (rows, held) = of(small, "cgl-table-3", "Transformer, IMDB", "CGL", "train_rows", "holdout")
    assert held / rows == 2000 / 25000
    for column in table_called("cgl-table-3").columns:
        same = ("recipe", "batch_size", "optimizer")
        own = small.config(table_called("cgl-table-3").cells["VDCNN-9, Yahoo! Answers", column])
        paper = table_called("cgl-table-3").cells["VDCNN-9, Yahoo! Answers", column].settings
        assert [own[name] for name in same] == [paper[name] for name in same]


def test_the_stand_in_is_trained_as_its_search_says(small):
    names = (
        "train_rows",
        "holdout",
        "epochs",
        "batch_size",
        "optimizer.lr",
        "rate.milestones",
        "augment.padding",
    )
    place = ("intra-stand-in", "stand-in for STL-10, ResNet-18", "kernel")
    assert of(small, *place, *names) == [7_000, 2_000, 100, 64, 0.027, [30, 60, 90], 1]
    assert of(small, *place, "model_options", "image_size") == [{"width": 16, "hidden": [512, 512]}, [8, 8]]


def test_weights_are_searched_where_the_stand_in_is_trained(small):
    search = yaml.safe_load((REGIMES / "standin-weights.yaml").read_text())
    cell = table_called("intra-stand-in").cells["stand-in for STL-10, ResNet-18", "pull-push"]
    trained, same = (
        small.config(cell),
        set(search) - {"recipe", "search", "sampler", "model_options", "select"},
    )
    assert {name: trained[name] for name in same} == {name: search[name] for name in same}
    assert search["model_options"] == trained["model_options"] | {"dropout": 0.5}  # the networks' own default


def test_students_with_rows_of_their_own_have_other_numbers_of_them(small):
    row = "ResNet-18, CIFAR-10"
    for column in table_called("cgl-table-2").columns:
        assert of(small, "cgl-table-2", row, column, "batch_size") == [8 if column == "CGL" else 64]
    own, whole = (
        of(small, "cgl-table-4", "ResNet-18, CIFAR-100", column, "batch_size")
        for column in ("without sub-group imitation", "without sub-set learning")
    )
    assert (own, whole) == ([8], [64])
    assert of(small, "regime-settings", "16 rows", "CIFAR-10", "batch_size") == [16]
    names = ("batch_size", "train_rows", "holdout")
    assert of(small, "regime-epochs", "72 epochs", "an eighth of the rows", *names) == [8, 625, 62]


def test_modules_start_as_the_regime_says_where_the_table_does_not(small, full):
    def start(lab, id, row, column):
        return lab.config(table_called(id).cells[row, column])["recipe"]["init_args"].get("init")

    cgl = ("cgl-table-2", "ResNet-18, CIFAR-10", "CGL")
    assert (start(small, *cgl), start(full, *cgl)) == ("copy", None)
    assert start(small, "regime-settings", "apart", "CIFAR-10") == "fresh"
    # alike and on the same rows, modules would never part
    assert start(small, "cgl-table-4", "ResNet-18, CIFAR-100", "without sub-set learning") is None
    assert start(small, "cgl-table-2", "ResNet-18, CIFAR-10", "DML") is None


def test_weights_that_were_searched_are_given_to_the_parts_that_are_on():
    regime = Regime(weights={"pull_push": 0.3, "kernel": 0.07})
    scale = Scale(name="tried", regimes={"cifar_resnet18": regime})

    def weights(column):
        cell = table_called("intra-stand-in").cells["stand-in for STL-10, ResNet-18", column]
        recipe = scale.applied(cell.settings, cell.data)["recipe"]
        return recipe if isinstance(recipe, str) else recipe["init_args"]

    assert weights("baseline") == "baseline"
    assert weights("out") == {"out": 1.0}
    assert weights("kernel") == {"kernel": 0.07}
    assert weights("mid+pull-push+kernel") == {"mid": 1.0, "pull_push": 0.3, "kernel": 0.07}
    assert "pull_push 0.3, kernel 0.07" in str(regime)


def test_a_regime_may_be_for_one_data_set(small):
    names = ("train_rows", "epochs", "optimizer.lr")
    ten, hundred = (
        of(small, "cgl-table-2", f"ResNet-18, {data}", "baseline", *names)
        for data in ("CIFAR-10", "CIFAR-100")
    )
    assert (ten[:2], hundred[:2]) == ([7_000, 65], [7_000, 65])
    for row in ("ResNet-18, CIFAR-10", "ResNet-18, CIFAR-100"):
        settings = [
            small.config(table_called("cgl-table-2").cells[row, c]) for c in ("baseline", "CGL", "DML")
        ]
        alike = ("optimizer", "epochs", "augment", "rate", "precision", "train_rows", "holdout")
        assert len({str([one[name] for name in alike]) for one in settings}) == 1


def test_small_pictures_fit_the_networks(small):
    import torch

    for row in table_called("intra-table-1").rows:
        config = small.config(table_called("intra-table-1").cells[row, "baseline"])
        net = models.build(config["model"], classes=10, **config["model_options"]).eval()
        assert net(torch.zeros(2, 3, *config["image_size"])).shape == (2, 10)
    with pytest.raises(RuntimeError, match="too small"):
        models.build("cifar_vgg16", classes=10, width=16)(torch.zeros(2, 3, 16, 16))


def test_rows_and_epochs_of_a_scale_can_be_changed(small):
    other = dataclasses.replace(small, scale=SMALL.changed(rows=1_000, epochs=10))
    names = ("epochs", "train_rows", "holdout", "rate.milestones")
    assert of(other, "cgl-table-2", "ResNet-18, CIFAR-10", "CGL", *names) == [10, 1_000, 100, [3, 6, 8]]
    tiny = dataclasses.replace(small, scale=SMALL.changed(side=8))
    names = ("image_size", "augment.padding", "train_rows")
    assert of(tiny, "cgl-table-2", "ResNet-18, CIFAR-10", "CGL", *names) == [[8, 8], 1, 7_000]
    assert of(small, "regime-epochs", "144 epochs", "apart", *names, "epochs") == [[8, 8], 1, 5_000, 144]
    finer = dataclasses.replace(small, change={"precision": "bf16-mixed"})
    assert of(finer, "cgl-table-2", "ResNet-18, CIFAR-10", "CGL", "precision") == ["bf16-mixed"]


def test_nobody_imitates_in_the_columns_that_say_so(small):
    for name, subsets in (("no imitation", None), ("no imitation, without", False)):
        for row in table_called("cgl-table-6").rows:
            arguments = small.config(table_called("cgl-table-6").cells[row, name])["recipe"]["init_args"]
            assert arguments["probability"] == 0.0
            assert arguments.get("subsets") is subsets


def test_tables_reach_other_processes():
    again = pickle.loads(pickle.dumps(dict(tables())))
    assert {id: table.cells.keys() for id, table in again.items()} == {
        id: table.cells.keys() for id, table in tables().items()
    }
    cell = again["cgl-table-2"].cells["ResNet-18, CIFAR-10", "CGL"]
    assert cell.measure.of({"test": 0.25}) == 25


def picture_sets():
    return {cell.data.name: cell.data for cell in table_called("cgl-table-2").runnable}


def test_a_part_of_several_words_is_laid_once():
    """What one word changes of the part, another with the same part does not take back."""
    few, sure = ["base", {"size": 2}], ["base", {"sure": 1.0}]
    words = {"CIFAR-10": {}, "base": {"size": 8, "sure": 0.5}, "few": few, "sure": sure}
    parts = Parts(words, picture_sets(), where="t")
    wanted = {"size": 2, "sure": 1.0, "holdout": 5000}
    assert parts.settings({}, ["CIFAR-10", *parts.words("few, sure")]) == wanted
    assert parts.settings({}, ["CIFAR-10", "base", *parts.words("sure, few")]) == wanted


def test_mistakes_in_a_file_are_named():
    table = {"title": "T", "measure": "accuracy", "columns": ["a"], "rows": {"CIFAR-10": [1.0]}}
    parts = {"a": {}, "CIFAR-10": {}}

    def read(**changes):
        paper = {"name": "P", "common": {}, "parts": parts, "tables": {"t": {**table, **changes}}}
        return list(read_paper(paper, picture_sets()))

    assert read()[0].cells["CIFAR-10", "a"].settings == {"holdout": 5000}
    with pytest.raises(ValueError, match="'b' is none of the parts a, CIFAR-10"):
        read(columns=["b"])
    with pytest.raises(ValueError, match="2 numbers for 1 columns"):
        read(rows={"CIFAR-10": [1.0, 2.0]})
    with pytest.raises(ValueError, match="name 0 data sets"):
        read(rows={"a": None})
    with pytest.raises(ValueError, match="no cell 'CIFAR-10, a'"):
        read(cells={"CIFAR-10, a": {}})
    with pytest.raises(ValueError, match="which is no cell"):
        read(claims=[{"says": "S", "better": "a", "than": "b"}])
    with pytest.raises(ValueError, match="a claim has worse"):
        read(claims=[{"says": "S", "better": "a", "worse": "b"}])
    with pytest.raises(ValueError, match="only numbers that are counted can be"):
        read(
            rows={"CIFAR-10": None, "CIFAR-10, a": None},
            claims=[{"says": "S", "constant": "a", "among": ["CIFAR-10", "CIFAR-10, a"]}],
        )
    with pytest.raises(ValueError, match="is not a number"):
        read(rows={"CIFAR-10": ["1.0 +- 2"]})
