"""Files that stand for more than they hold, and words that would be more than words."""

import dataclasses
import json
import os
import resource
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from helpers.hostile import SECONDS, Reduced, refused, within
from helpers.small_run import small
from helpers.summaries import summary
from studygroup.cli import main
from studygroup.data.arrays import saved_columns
from studygroup.data.text import load_encoder
from studygroup.data.text.kept import Kept
from studygroup.formats import Facts, card
from studygroup.models import build
from studygroup.training import train
from studygroup.training.checkpoints import Saved
from studygroup.training.describe import model_card
from studygroup.training.export import load_net
from studygroup.trust import tensors_alone
from studygroup.untrusted import in_markdown


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "good"
    train(small(epochs=1, train_rows=100, holdout=20), run_dir=folder, progress_bar=False)
    return folder


@contextmanager
def soon(seconds=SECONDS, more=2**33):
    """Within the context, time and memory are bounded."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    start = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        with within(seconds):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - start < seconds / 4


def laughs(levels=40):
    value = ["x"]
    for _ in range(levels):
        value = [value, value]
    return value


def endless():
    value = []
    value.append(value)
    return value


LARGE = {
    "a number repeated": lambda: {"state_dict": {"weights": torch.zeros(1).expand(10**12)}},
    "a sparse tensor": lambda: {"state_dict": {"weights": torch.sparse_coo_tensor(size=(10**6, 10**6))}},
    "a number repeated, for the optimiser": lambda: {
        "optimizer_states": [{"m": torch.zeros(1).expand(10**12)}]
    },
    "lists named again and again": lambda: {"callbacks": {"LastTwo": {"config": {"a": laughs()}}}},
    "a list in itself": lambda: {"loops": {"a": endless()}},
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of sparse tensors, by torch
@pytest.mark.parametrize("name", LARGE)
def test_a_checkpoint_that_stands_for_more_than_it_holds_is_refused(name, finished, tmp_path):
    path = tmp_path / "epoch-0001.ckpt"
    content = torch.load(finished / "checkpoints" / path.name, weights_only=True)
    torch.save(content | LARGE[name](), path)
    with soon(), pytest.raises(ValueError, match=r"larger than the file|than it holds"):
        Saved.read(path)


def test_columns_that_stand_for_more_than_they_hold_are_refused(tmp_path):
    torch.save({"worse_label": torch.zeros(1, dtype=torch.int64).expand(10**12)}, tmp_path / "human.pt")
    with soon(), pytest.raises(ValueError, match="larger than the file"):
        saved_columns(tmp_path / "human.pt")


def ship(folder, **build):
    path = folder / "student.safetensors"
    facts = {"build": build, "classes": ["a", "b"], "form": {}}
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata={"studygroup": json.dumps(facts)})
    return path


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "text_transformer", "vocabulary": 10, "padding": 0, "blocks": 10**9},
        {"name": "timm/resnet10t", "layers": [10**5, 1, 1, 1]},
        {"name": "cifar_resnet8", "channels": 3, "width": 10**7},
    ],
    ids=lambda asked: asked["name"].rpartition("/")[2],
)
def test_a_shipped_file_describes_no_network_without_end(asked, tmp_path):
    path = ship(tmp_path, classes=2, **asked)
    with soon(), pytest.raises(ValueError, match=r"student.safetensors cannot be loaded"):
        load_net(path)


def test_every_networks_own_file_is_small_enough(tmp_path):
    """The bound on modules refuses none of ours, nor slim ones of timm and torchvision."""
    text = {"vocabulary": 20, "padding": 0, "embedding": 8, "hidden": 8, "heads": 2, "feed_forward": 8}
    for name, more in (
        *(("mlp", {"channels": 1}), ("cifar_resnet8", {"width": 4}), ("text_transformer", text)),
        *(("timm/mobilenetv3_small_050", {}), ("torchvision/squeezenet1_1", {})),
    ):
        asked, path = {"name": name, "classes": 2, **more}, tmp_path / "student.safetensors"
        facts = {"build": asked, "classes": ["a", "b"], "form": {}}
        safetensors.torch.save_model(build(**asked), path, metadata={"studygroup": json.dumps(facts)})
        assert isinstance(load_net(path), torch.nn.Module)


def test_libraries_read_tensors_alone(tmp_path, mark, monkeypatch):
    """Even those that ask torch for all of a pickle, as earlier versions of timm do."""
    torch.save({"weights": Reduced()}, tmp_path / "evil.pt")

    def create_model(name, **options):
        return torch.load(options["checkpoint_path"], weights_only=False)

    monkeypatch.setattr("timm.create_model", create_model)
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        build("timm/resnet10t", classes=2, checkpoint_path=tmp_path / "evil.pt")
    assert not mark.exists()
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    with tensors_alone():
        pass
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "0"


PLAIN = {"alphabet": "ab", "length": 8, "full": True}
TOKENIZERS = {
    "too long": ("CharacterEncoder", PLAIN | {"length": 10**12}, {}),
    "no length": ("CharacterEncoder", {"alphabet": "ab", "full": True}, {}),
    "another length": ("CharacterEncoder", PLAIN | {"length": "8"}, {}),
    "another alphabet": ("CharacterEncoder", PLAIN | {"alphabet": [1, 2]}, {}),
    "more settings": ("CharacterEncoder", PLAIN | {"files": {}}, {}),
    "a list of settings": ("CharacterEncoder", [1], {}),
    "no model": ("SentencePieceEncoder", {"length": 8}, {}),
    "no such model": ("SentencePieceEncoder", {"length": 8}, {"sentencepiece.model": b"nothing"}),
    "a network": ("PretrainedEncoder", {"length": 8}, {"config.json": b"{}"}),
    "weights": ("PretrainedEncoder", {"length": 8}, {"pytorch_model.bin": b""}),
    "an adapter": ("PretrainedEncoder", {"length": 8}, {"adapter_config.json": b"{}"}),
    "code": ("PretrainedEncoder", {"length": 8}, {"tokenizer.py": b""}),
    "a tokenizer of nothing": ("PretrainedEncoder", {"length": 8}, {"tokenizer_config.json": b"[]"}),
    "a class of nothing": ([], {}, {}),
}


def test_a_tokenizer_is_tried_before_it_is_used(tmp_path):
    for name, (kind, settings, files) in TOKENIZERS.items():
        folder = tmp_path / name
        Kept(kind, settings, files).write(folder)
        with soon(), pytest.raises(ValueError, match="the tokenizer in"):
            load_encoder(folder)
    Kept("CharacterEncoder", PLAIN, {}).write(tmp_path / "sound")
    assert load_encoder(tmp_path / "sound")(["ab c"]) == [[3, 4, 2, 1]]


# words


EVIL = "a](http://x) <script>alert(1)</script> `b`\n# c\x1b[2J"


def test_words_of_others_stay_words_in_markdown():
    assert in_markdown(EVIL) == ("a\\](http://x) &lt;script&gt;alert(1)&lt;/script&gt; \\`b\\`\\n# c\\x1b[2J")
    assert in_markdown("mean [0.3], std [0.2] of R&B_1") == "mean [0.3], std [0.2] of R&B_1"


def test_a_card_shows_names_as_names():
    made = summary(classes=2)
    run = {"classes": ("plain", EVIL), "data": EVIL, "recipe": "a`b\n# c", "input": f"`L` {EVIL[:20]}"}
    run["model"] = {"name": EVIL, "classes": 2}
    made = dataclasses.replace(
        made,
        run=dataclasses.replace(made.run, **run),
        shipped=dataclasses.replace(made.shipped, select="`\n# c"),
    )
    facts = Facts(classes=("plain", EVIL))
    for said in (model_card(made, lines="x"), card(facts, library="timm", name=EVIL).split("\n---\n")[1]):
        assert "<script" not in said
        assert "a](http" not in said
        assert "\x1b" not in said
        assert "\n# c" not in said
        assert "plain" in said


@pytest.mark.slow
def test_a_report_and_an_export_show_no_tags(finished, tmp_path, capsys, mark):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    content = json.loads((run / "summary.json").read_text())
    content["run"]["classes"][3] = content["run"]["data"] = content["command"] = EVIL
    content["versions"][EVIL] = EVIL
    (run / "summary.json").write_text(json.dumps(content))
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert "<script>alert" not in (tmp_path / "page.html").read_text()
    assert main(["export", str(run)]) == 0
    assert "<script" not in (run / "export/student-0.safetensors.md").read_text()
    content["run"]["model"]["name"] = {}
    (run / "summary.json").write_text(json.dumps(content))
    assert "run.model.name" in refused(["evaluate", run], mark, capsys)
