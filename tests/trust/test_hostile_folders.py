"""Every file of a stranger's folder, opened by every command: nothing runs, and the error comes soon."""

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
import yaml

from helpers.hostile import SECONDS, Reduced, refused, within
from helpers.small_run import small
from reproduction.command import main as reproduction
from studygroup.cli import main
from studygroup.training import train

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "good"
    train(small(epochs=2, train_rows=100, holdout=20), run_dir=folder, progress_bar=False)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A stranger's run folder."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def rewrite(run, **changed):
    """Write settings into a run's configuration."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | changed))


CODE = {
    "augment, a function": {"augment": "helpers.hostile.mark"},
    "augment, a class": {"augment": {"class_path": "helpers.hostile.Marks", "init_args": {}}},
    "augment, an import": {"augment": "helpers.hostile_import.harmless"},
    "noise, a function": {"noise": "helpers.hostile.mark"},
    "noise, a class": {"noise": {"class_path": "helpers.hostile.Marks"}},
    "tokenizer, a class": {"tokenizer": {"class_path": "helpers.hostile.Marks"}},
    "tokenizer, an import": {"tokenizer": "helpers.hostile_import.harmless"},
    "optimizer, an import": {"optimizer": "helpers.hostile_import.harmless"},
    "optimizer, a class": {"optimizer": {"class_path": "helpers.hostile.Marks"}},
    "rate, an import": {"rate": {"class_path": "helpers.hostile_import.Harmless"}},
    "recipe, a function": {"recipe": "helpers.hostile.mark"},
    "recipe, an import": {"recipe": {"class_path": "helpers.hostile_import.harmless"}},
    "recipe, an argument": {
        "recipe": {"class_path": "intra", "init_args": {"mid": "helpers.hostile_import.harmless"}}
    },
    "recipe, a nested class": {
        "recipe": {
            "class_path": "distillation",
            "init_args": {"teacher": {"class_path": "helpers.hostile_import.Network"}},
        }
    },
    "model, a function": {"model": "helpers.hostile.mark"},
    "model, an import": {"model": "helpers.hostile_import.harmless"},
    "data, a function": {"data": "helpers.hostile.mark"},
    "data, an import": {"data": "helpers.hostile_import.harmless"},
    "model, through the library": {"model": "studygroup.files.os.system"},
    "data options, a class": {"data_options": {"root": {"class_path": "helpers.hostile.Marks"}}},
    "model options, a class": {"model_options": {"width": {"class_path": "helpers.hostile.Marks"}}},
    "the library's own, of another kind": {"augment": "studygroup.cli.main"},
    "through an allowed module": {"noise": "studygroup.files.os.system"},
    "the library's own that writes": {"noise": "studygroup.files.write_text"},
    "through torch": {"optimizer": {"class_path": "torch.optim.adam.torch.hub.load"}},
    "partial": {"noise": {"class_path": "functools.partial", "init_args": {"func": "os.system"}}},
    "hydra": {"augment": {"_target_": "helpers.hostile.mark"}},
}
"""What a configuration may say."""

READERS = {
    "evaluate": ["evaluate", "{run}"],
    "reproduce": ["reproduce", "{run}", "--run_dir", "{run}/../new"],
    "export": ["export", "{run}"],
    "export a student": ["export", "{run}", "--student", "0"],
    "analyse": ["analyse", "calibration", "{run}"],
    "analyse all students": ["analyse", "diversity", "{run}"],
    "resume": ["train", "--config", "{run}/config.yaml", "--run_dir", "{run}", "--resume"],
    "train": ["train", "--config", "{run}/config.yaml", "--run_dir", "{run}/../new"],
    "compare": ["compare", "--configs", "[{run}/config.yaml]", "--run_dir", "{run}/../new"],
    "tune": [
        "tune", "--config", "{run}/config.yaml", "--search", '{{"optimizer.lr": [0.1]}}',
        "--run_dir", "{run}/../new",
    ],
}  # fmt: skip
"""Commands that read a configuration."""


def words(command, run):
    return [word.format(run=run) for word in command]


@pytest.mark.parametrize("code", CODE)
def test_no_configuration_runs_code_in_evaluate(code, run, mark, capsys):
    rewrite(run, **CODE[code])
    refused(words(READERS["evaluate"], run), mark, capsys)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("code", ["augment, a function", "augment, an import", "recipe, an argument"])
def test_no_command_runs_the_code_of_a_configuration(code, reader, run, mark, capsys):
    rewrite(run, **CODE[code])
    if reader == "resume":
        (run / "summary.json").unlink()
    refused(words(READERS[reader], run), mark, capsys)


@pytest.mark.parametrize("words", [["--conf"], ["--c"], ["--confi="]])
def test_a_configuration_is_not_read_by_half_a_name(words, run, mark, capsys):
    rewrite(run, recipe="helpers.hostile.Marks")
    option, _, _ = words[0].partition("=")
    given = [f"{option}={run / 'config.yaml'}"] if "=" in words[0] else [option, run / "config.yaml"]
    refused(["train", *given, "--run_dir", run.parent / "new"], mark, capsys)


def test_no_search_of_a_configuration_runs_code(run, mark, capsys):
    rewrite(run, search={"augment": ["helpers.hostile.mark"]})
    refused(["tune", "--config", run / "config.yaml", "--run_dir", run / "new"], mark, capsys)
    rewrite(run, search={"model": ["helpers.hostile_import.harmless"]})
    refused(["tune", "--config", run / "config.yaml", "--run_dir", run / "new"], mark, capsys)
    rewrite(run, search={"recipe.init": ["helpers.hostile_import.harmless"], "epochs": [1]})
    refused(["tune", "--config", run / "config.yaml", "--run_dir", run / "new"], mark, capsys)


@pytest.mark.parametrize("key", ["config", "allow"])
def test_a_configuration_brings_in_no_other_and_allows_nothing(key, run, mark, capsys):
    (run / "more.yaml").write_text("augment: helpers.hostile.mark\n")
    rewrite(run, **{key: str(run / "more.yaml") if key == "config" else ["helpers"]})
    said = refused(["train", "--config", run / "config.yaml", "--run_dir", run / "new"], mark, capsys)
    assert key in said


# checkpoints


@pytest.mark.filterwarnings("ignore::studygroup.training.UnreadableCheckpointWarning")
@pytest.mark.parametrize("where", ["state_dict", "optimizer_states", "callbacks", "hyper_parameters", "top"])
@pytest.mark.parametrize("reader", ["export a student", "resume"])
def test_nothing_is_unpickled_from_a_checkpoint(where, reader, run, mark, capsys):
    for path in (run / "checkpoints").glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        if where == "top":
            content = Reduced()
        else:
            content[where] = (
                {**(content.get(where) or {}), "more": Reduced()}
                if where != "optimizer_states"
                else [Reduced()]
            )
        torch.save(content, path)
    (run / "summary.json").unlink() if reader == "resume" else None
    with within(SECONDS):
        main([str(word) for word in words(READERS[reader], run)])
    assert not mark.exists()


# the shipped file


def reship(run, **changed):
    """Write other facts into the header of the shipped file."""
    path = run / "student.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["studygroup"])
    tensors = safetensors.torch.load_file(path)
    facts["build"] = changed.pop("build", facts["build"])
    safetensors.torch.save_file(tensors, path, metadata={"studygroup": json.dumps(facts | changed)})


REMOTE = """from helpers.hostile import mark
mark()
from transformers import BertConfig, BertForSequenceClassification
class Config(BertConfig):
    model_type = "strange"
class Network(BertForSequenceClassification):
    config_class = Config
"""


def remote(folder, model_type="strange"):
    """A folder of a network whose code comes with it."""
    folder.mkdir(parents=True)
    (folder / "strange.py").write_text(REMOTE)
    config = {
        "model_type": model_type, "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8,
        "auto_map": {
            "AutoConfig": "strange.Config", "AutoModelForSequenceClassification": "strange.Network",
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("trusting", [{"trust_remote_code": True}, {}])
@pytest.mark.parametrize("model_type", ["strange", "bert"])
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_shipped_file_brings_no_code(trusting, model_type, command, run, mark, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("standard input was asked"))
    folder = remote(run / "network", model_type)
    reship(run, build={"name": f"huggingface/{folder}", "classes": 10, **trusting})
    given = ["predict", "seven.png", "--folder", run] if command == "predict" else ["evaluate", run]
    refused(given, mark, capsys)


@pytest.mark.parametrize("name", ["helpers.hostile.mark", "helpers.hostile_import.harmless", "os.system"])
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_shipped_file_imports_no_network(name, command, run, mark, capsys):
    reship(run, build={"name": name, "classes": 10})
    given = ["predict", "seven.png", "--folder", run] if command == "predict" else ["evaluate", run]
    assert "build.name names" in refused(given, mark, capsys)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_configuration_beside_a_shipped_file_brings_no_code(command, run, mark, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("standard input was asked"))
    remote(run / "configuration")
    reship(run, build={"name": "huggingface/strange", "classes": 10})  # other networks ask for none
    given = ["predict", "seven.png", "--folder", run] if command == "predict" else ["evaluate", run]
    refused(given, mark, capsys)


@pytest.mark.parametrize("content", ["[]", '"a"', "{", None])
def test_a_configuration_of_nonsense_beside_a_shipped_file_is_told_in_one_line(content, run, mark, capsys):
    (run / "configuration").mkdir()
    path = run / "configuration" / "config.json"
    os.mkfifo(path) if content is None else path.write_text(content)  # a pipe would be waited for
    reship(run, configuration="0" * 64)
    refused(["predict", "seven.png", "--folder", run], mark, capsys)


def test_a_configuration_of_a_run_trusts_no_remote_code(run, mark, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("standard input was asked"))
    folder = remote(run / "network")
    for options in ({"trust_remote_code": True}, {}):
        rewrite(run, model=f"huggingface/{folder}", model_options=options)
        refused(words(READERS["train"], run), mark, capsys)
        refused(words(READERS["export a student"], run), mark, capsys)


@pytest.mark.parametrize("class_", ["Strange", "AutoModelForSequenceClassification"])
def test_a_tokenizer_brings_no_code(class_, run, mark, capsys, monkeypatch):
    from studygroup.data.text.kept import Kept

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("standard input was asked"))
    folder = remote(run / "strange")
    told = {"tokenizer_class": class_, "auto_map": {"AutoTokenizer": ["strange.Network", None]}}
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files["tokenizer_config.json"] = json.dumps(told).encode()
    Kept("PretrainedEncoder", {"length": 8}, files).write(run / "tokenizer")
    reship(run, form={"tokenizer": {}})
    refused(["predict", "a text", "--folder", run], mark, capsys)


def test_a_card_carries_no_code(run, mark, capsys):
    """The lines that load a network are pasted by those who read them."""
    summary = json.loads((run / "summary.json").read_text())
    summary["run"]["model"]["width=1); import helpers.hostile; (lambda **_: 0)(a"] = 1
    (run / "summary.json").write_text(json.dumps(summary))
    refused(["report", run, "--out", run / "page.html"], mark, capsys)


# bombs


def bomb(levels=30):
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}, *a{k - 1}]" for k in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "aliases": bomb() + "\nmodel_options: *a29\n",
    "merges": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}, *a{k - 1}]}}" for k in range(1, 40)),
    "depth": "model_options: " + "[" * 50_000,
    "length": "model_options: {" + ", ".join(f"k{k}: 1" for k in range(300_000)) + "}",
    "a loop": "model_options: &a {b: *a}\n",
    "python": "augment: !!python/object/apply:helpers.hostile.mark []\n",
    "binary": "\0\0\0",
}


@pytest.mark.parametrize("reader", ["evaluate", "train", "compare", "resume"])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_soon(name, reader, run, mark, capsys):
    (run / "config.yaml").write_text(BOMBS[name])
    refused(words(READERS[reader], run), mark, capsys)


@pytest.mark.parametrize("file", ["summary.json", "student.safetensors"])
def test_deep_json_is_refused(file, run, mark, capsys):
    deep = "[" * 100_000
    if file == "summary.json":
        (run / file).write_text('{"run": {}, "shipped": ' + deep)
    else:
        tensors = safetensors.torch.load_file(run / file)
        safetensors.torch.save_file(tensors, run / file, metadata={"studygroup": deep})
    said = refused(["evaluate", run], mark, capsys)
    assert file in said


@pytest.mark.parametrize(
    "build", [{"name": "cifar_resnet8", "classes": 10**9, "channels": 1}, ["x"], {"name": 3}]
)
def test_a_header_of_nonsense_is_refused(build, run, mark, capsys):
    reship(run, build=build)
    refused(["predict", "seven.png", "--folder", run], mark, capsys)


# pipes and links


FILES = ["config.yaml", "summary.json", "student.safetensors", "checkpoints/epoch-0002.ckpt"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
@pytest.mark.parametrize("reader", ["evaluate", "export a student", "resume"])
def test_pipes_devices_and_links_in_a_run_are_refused(file, kind, reader, run, mark, capsys, tmp_path):
    path = run / file
    path.rename(tmp_path / "outside")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "outside")
    said = refused(words(READERS[reader], run), mark, capsys)
    assert path.name in said


def test_a_folder_linked_into_a_run_is_not_written_to(run, mark, capsys, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("export", "analyses"):
        (run / name).symlink_to(outside)
    refused(["export", run], mark, capsys)
    refused(["analyse", "calibration", run], mark, capsys)
    assert not list(outside.iterdir())


def test_a_predicting_folder_with_a_pipe_is_refused(run, mark, capsys):
    (run / "student.safetensors").unlink()
    os.mkfifo(run / "student.safetensors")
    refused(["predict", "seven.png", "--folder", run], mark, capsys)


# names that lead elsewhere


def test_names_in_a_comparison_lead_nowhere_else(run, mark, capsys, tmp_path):
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "comparison.json").write_text(json.dumps([{"name": "../run", "seeds": [0]}]))
    run.rename(tmp_path / "run-0")
    said = refused(["report", tmp_path / "comparison", "--out", tmp_path / "page.html"], mark, capsys)
    assert "../run" in said


def test_escapes_reach_no_terminal(run, mark, capsys):
    import PIL.Image

    PIL.Image.new("L", (8, 8)).save(run / "seven.png")
    reship(run, classes=[f"\x1b]0;owned\x07\x1b[2J{k}\nseven 100.0%  \u202e" for k in range(10)])
    assert main(["predict", str(run / "seven.png"), "--folder", str(run)]) == 0
    said = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert len(said.strip().splitlines()) == 1


def test_escapes_in_errors_reach_no_terminal(run, mark, capsys):
    rewrite(run, augment="helpers.\x1b[2Jx")
    said = refused(["evaluate", run], mark, capsys)
    assert "\x1b" not in said


# reproduction


@pytest.mark.parametrize("command", [["report", "{run}"], ["show", "intra-table-1", "--run_dir", "{run}"]])
def test_results_of_a_stranger_are_read_as_numbers_alone(command, run, mark, capsys):
    (run / "results").mkdir()
    os.mkfifo(run / "results" / "prices.json")
    os.mkfifo(run / "data.json")
    shutil.move(run / "summary.json", run / "other.json")
    refused([*words(command, run)], mark, capsys, entry=reproduction)
