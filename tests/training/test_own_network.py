"""Networks and data sets of one's own, by import path or from Python: trained, resumed, opened again, refused."""

import functools

import pytest
import torch
import yaml

from helpers import own_parts
from helpers.small_run import small, whole_and_resumed
from studygroup import data, models
from studygroup.cli import main
from studygroup.training import Settings, load_shipped, methods, train
from studygroup.trust import NotAllowedError, allowing

pytestmark = pytest.mark.slow  # whole runs

DML = functools.partial(methods.dml, students=2)
OWN = "helpers.own_parts"


def small_own(**changes):
    given = {
        "recipe": DML,
        "model": functools.partial(own_parts.Net, width=6),
        "model_options": None,
        "data": functools.partial(own_parts.Shapes, rows=150),
        "train_rows": None,
        "test_rows": None,
        "epochs": 2,
    }
    return small(**(given | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a network and a data set of one's own, and the same one resumed."""
    return whole_and_resumed(small_own(epochs=3), tmp_path_factory.mktemp("own"))


def test_it_is_recorded_by_its_path_and_resumes_exactly(run):
    whole, resumed = run
    kept = yaml.safe_load(whole.folder.config.read_text())
    assert (kept["model"], kept["model_options"]) == (f"{OWN}.Net", {"width": 6})
    assert (kept["data"], kept["data_options"]) == (f"{OWN}.Shapes", {"rows": 150})
    assert dict(whole.summary.run.model) == {"name": f"{OWN}.Net", "classes": 3, "channels": 3, "width": 6}
    assert whole.summary.run.classes == own_parts.Shapes.classes
    assert (whole.summary.run.train_rows, whole.summary.holdout.rows) == (110, 40)
    with allowing(OWN):
        one, other = whole.load().state_dict(), resumed.load().state_dict()
    assert set(one) == set(own_parts.Net(3, 3).state_dict())
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_opens_it_again_asks_to_be_allowed_and_then_does(run, tmp_path, capsys):
    whole = run[0]
    folder = str(whole.folder.path)
    picture = tmp_path / "one.png"
    own_parts.Shapes(kind="pil")[1][0].save(picture)
    for words in (
        ["evaluate", folder],
        ["predict", str(picture), "--folder", folder],
        ["export", folder, "--student", "1"],
        ["reproduce", folder],
    ):
        assert main(words) == 1
        assert f"--allow {OWN}" in capsys.readouterr().err
        assert main([*words, "--allow", OWN]) == 0, capsys.readouterr().err
    with pytest.raises(NotAllowedError, match=r"build\.name names 'helpers\.own_parts\.Net'"):
        load_shipped(folder)
    with pytest.raises(NotAllowedError):
        whole.load()
    with allowing(OWN):
        assert isinstance(load_shipped(folder).net, own_parts.Net)


def test_the_command_line_takes_paths_and_a_file_only_what_is_allowed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = small_own(epochs=1, recipe=methods.baseline).config()
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in settings.items() if k not in ("model", "data")}))
    given = ["train", "--config", str(file), "--run_dir", "run", "--progress_bar", "false"]
    typed = ["--model", f"{OWN}.Net", "--data", f"{OWN}.Shapes", "--data_options.kind", "pil"]
    assert main([*given, *typed]) == 0, capsys.readouterr().err
    for setting in ("model", "data"):
        file.write_text(yaml.safe_dump({setting: f"{OWN}.Net"}))
        with pytest.raises(NotAllowedError, match=f"{setting} names 'helpers.own_parts.Net'"):
            Settings.from_config({setting: f"{OWN}.Net"}, where=file)
        assert main(["train", "--config", str(file), "--run_dir", "other"]) == 1
        assert f"{setting} names 'helpers.own_parts.Net'" in capsys.readouterr().err
        with allowing(OWN):  # it merely imports this one
            with pytest.raises(NotAllowedError, match="torchmetrics"):
                Settings.from_config({setting: f"{OWN}.Metric"}, where=file)
            assert getattr(Settings.from_config({setting: f"{OWN}.Net"}, where=file), setting) == f"{OWN}.Net"
    searched = {"search": {"model": ["mlp", f"{OWN}.Net"]}}
    file.write_text(yaml.safe_dump(searched))
    assert main(["tune", "--config", str(file), "--run_dir", "tuned"]) == 1
    assert "search: model names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": own_parts.two_too_many}, r"logits of shape \(8, 5\) for 8 rows of 3 classes"),
        ({"model": own_parts.no_net}, "returns a str"),
        ({"model": f"{OWN}.Absent"}, "cannot be imported"),
        ({"model": f"{OWN}.BUILT"}, "is a ReLU, which a run cannot build anew"),
        (
            {"model": functools.partial(own_parts.Net, depth=2)},
            r"refuses its arguments.*it takes num_classes, in_",
        ),
        ({"data": functools.partial(own_parts.Shapes, kind="float")}, "leave transforms such as ToTensor"),
        ({"data": functools.partial(own_parts.Shapes, colour=1)}, "refuses its arguments"),
        ({"data": own_parts.no_net}, "row 0 is a str"),
        ({"data": "digits", "data_options": {"root": "."}}, "only a data set of one's own takes some"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_no_folder(wrong, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        train(small_own(**wrong), run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run/config.yaml").exists()


@pytest.mark.parametrize("given", [own_parts.Net(3, 3), 3, {"class_path": "a.B"}, [own_parts.Net]])
@pytest.mark.parametrize("setting", ["model", "data"])
def test_what_is_built_already_could_not_be_repeated(setting, given):
    with pytest.raises(ValueError, match=f"{setting} is .*class or function that builds it"):
        Settings(**{setting: given})
    with pytest.raises(ValueError, match="cannot be imported; define it at the top level"):
        Settings(**{setting: lambda: None})


def test_sizes_go_under_the_names_that_a_network_has():
    net = models.build(f"{OWN}.make_net", classes=7, channels=1, width=5)  # it takes no number of channels
    assert (net.fc.out_features, net.conv1.in_channels, net.conv1.out_channels) == (7, 3, 5)
    net = models.build(f"{OWN}.Net", classes=7, channels=1)
    assert (net.fc.out_features, net.conv1.in_channels) == (7, 1)
    with pytest.raises(ValueError, match="by its import path"):
        models.build("nowhere_to_be_found.Net", classes=7)
    assert models.build("timm/resnet18.a1_in1k", classes=7).fc.out_features == 7  # weights of timm, no path


def test_pictures_of_any_kind_are_the_same_rows():
    found = [
        data.load(f"{OWN}.Shapes", options={"kind": kind}, holdout=0.2) for kind in ("tensor", "pil", "array")
    ]
    assert (len(found[0].train), len(found[0].holdout), len(found[0].test)) == (72, 18, 30)
    assert found[0].classes == own_parts.Shapes.classes
    assert found[0].fingerprint == found[1].fingerprint == found[2].fingerprint
    rows, labels = found[0].test[torch.arange(3)]
    assert labels.tolist() == [0, 1, 2]
    assert torch.equal(rows[1], own_parts.Shapes(train=False)[1][0])
    bright = [rows[1][:, :3, :3], rows[1][:, :3, 3:], rows[1][:, 3:, :3]]
    assert [corner.min() >= 150 for corner in bright] == [False, True, False]
    scaled = data.load(f"{OWN}.Shapes", image_size=12)
    assert scaled.form.shape == (3, 12, 12)


def test_texts_are_read_and_a_set_without_test_rows_is_cut():
    texts = data.load(f"{OWN}.Sentences", tokenizer=data.Characters(length=12), holdout=0)
    assert (len(texts.train), len(texts.test), texts.classes) == (16, 16, ("0", "1"))
    with pytest.warns(data.NoTestSplitWarning):
        cut = data.load(f"{OWN}.without_test", options={"rows": 60})
    assert (len(cut.train) + len(cut.holdout), len(cut.test)) == (50, 10)
