"""Folders of transformers and timm, opened by them, and sent to a stand-in for the hub."""

import copy
import json

import pytest
import torch
from packaging.version import Version
from torch import nn

import studygroup as sg
from helpers.hub import stand_in
from studygroup.data.form import Pictures
from studygroup.formats import Facts, card, push, save_huggingface, save_timm
from studygroup.models import build

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
import huggingface_hub  # noqa: E402

ASKS_A_STAND_IN = pytest.mark.skipif(
    Version(huggingface_hub.__version__) < Version("2"),
    reason="before 2.0 headers are checked at a fixed address, which no server of a test has",
)
WORDS = Facts(classes=("bad", "good", "neither"))
PICTURES = Facts(classes=("nought", "one", "two"), shape=(1, 32, 32), mean=(0.3,), std=(0.2,))


@pytest.fixture(scope="module")
def bert():
    """A student of a group of sequence classifiers."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
    )
    make = lambda: transformers.BertForSequenceClassification(config)
    ids = {"input_ids": torch.randint(30, (2, 5)), "attention_mask": torch.ones(2, 5, dtype=torch.int64)}
    group = sg.StudyGroup(make(), sg.routes.independent(students=2), init=make, example=ids)
    return group.export(1).eval(), ids


@pytest.fixture(scope="module")
def of_timm():
    """A student of a group of timm's networks, on pictures of one channel."""
    torch.manual_seed(0)
    make = lambda: timm.create_model("test_vit", num_classes=3, in_chans=1, img_size=32)
    x = torch.randn(2, 1, 32, 32)
    group = sg.StudyGroup(make(), sg.routes.independent(students=2), init=make, example=x)
    return group.export(1).eval(), x


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, to which huggingface_hub talks in this process."""
    with stand_in() as hub:
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        yield hub


def test_a_folder_opens_with_from_pretrained(bert, tmp_path):
    net, ids = bert
    save_huggingface(net, tmp_path / "bert", example=ids, facts=WORDS)
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "bert").eval()
    torch.testing.assert_close(again(**ids).logits, net(**ids).logits, rtol=0, atol=0)
    assert again.config.id2label == {0: "bad", 1: "good", 2: "neither"}
    assert again.config.label2id["good"] == 1
    assert net.config.id2label != again.config.id2label, "the network's own configuration stays"
    save_huggingface(net, tmp_path / "bert", example=ids, facts=WORDS)  # in its own place
    assert {one.name for one in tmp_path.iterdir()} == {"bert"}


def test_a_folder_brings_no_code_of_others(bert, tmp_path):
    net, ids = bert
    other = copy.deepcopy(net)
    other.config.auto_map = {"AutoModelForSequenceClassification": "evil/repo--evil.Network"}
    save_huggingface(other, tmp_path / "bert", example=ids, facts=WORDS)
    assert "evil" not in (tmp_path / "bert" / "config.json").read_text()


def test_a_folder_that_does_not_open_again_is_told(bert, tmp_path, monkeypatch):
    net, ids = bert

    def from_pretrained(*_, **__):
        raise ImportError("it asks for a package that is not there")

    monkeypatch.setattr(type(net), "from_pretrained", from_pretrained)
    with pytest.raises(ValueError, match=r"does not open .*bert again"):
        save_huggingface(net, tmp_path / "bert", example=ids, facts=WORDS)
    assert not (tmp_path / "bert").exists()


@pytest.mark.parametrize(
    "more",
    [
        {"num_attention_heads": 0}, {"hidden_size": "x"}, {"hidden_act": "os.system"},
        {"attn_implementation": "flash_attention_9"}, {"model_type": {}},
        {"id2label": "x"}, {"hidden_size": 10**9, "num_attention_heads": 7}, {"vocab_size": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_of_nonsense_is_told_as_such(more, bert, tmp_path):
    content = bert[0].config.to_dict() | more
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"cannot build 'huggingface|cannot build '/|configuration of"):
        build(f"huggingface/{tmp_path}", classes=3)


def test_pictures_get_an_image_processor(tmp_path):
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, patch_size=16,
        num_channels=1, num_labels=3,
    )  # fmt: skip
    net, x = transformers.ViTForImageClassification(config), torch.randn(2, 1, 32, 32)
    save_huggingface(net, tmp_path / "vit", example={"pixel_values": x}, facts=PICTURES)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "vit").eval()
    torch.testing.assert_close(again(x).logits, net.eval()(x).logits, rtol=0, atol=0)
    processor = json.loads((tmp_path / "vit" / "preprocessor_config.json").read_text())
    assert (processor["image_mean"], processor["image_std"]) == ([0.3], [0.2])
    assert list(transformers.AutoImageProcessor.from_pretrained(tmp_path / "vit").image_mean) == [0.3]


def test_timm_opens_the_folder_by_its_pretrained_cfg(of_timm, tmp_path):
    net, x = of_timm
    save_timm(net, tmp_path / "vit", example=x, facts=PICTURES, options={"img_size": 32})
    again = timm.create_model(f"local-dir:{tmp_path / 'vit'}", pretrained=True).eval()
    torch.testing.assert_close(again(x), net(x), rtol=0, atol=0)
    assert again.pretrained_cfg["label_names"] == ["nought", "one", "two"]
    found = timm.data.resolve_data_config({}, model=again)
    assert (tuple(found["input_size"]), *found["mean"], *found["std"]) == ((1, 32, 32), 0.3, 0.2)
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    overlay = config["pretrained_cfg"] | {"file": str(tmp_path / "vit" / "model.safetensors")}
    by_file = timm.create_model(
        "test_vit", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=3, in_chans=1, img_size=32
    )
    torch.testing.assert_close(by_file.eval()(x), net(x), rtol=0, atol=0)


@ASKS_A_STAND_IN
def test_a_pushed_folder_opens_from_the_hub(bert, of_timm, hub, tmp_path):
    (net, ids), (pictures, x) = bert, of_timm
    told = card(
        WORDS, library="transformers", name="bert", text="# Bert\n", data="some/reviews", accuracy=0.75
    )
    save_huggingface(net, tmp_path / "bert", example=ids, facts=WORDS, card=told)
    save_timm(pictures, tmp_path / "vit", example=x, facts=PICTURES, options={"img_size": 32})
    address = push(tmp_path / "bert", "someone/bert")
    assert address.startswith(f"{hub.address}/someone/bert/commit/")
    push(tmp_path / "vit", "someone/vit", private=False)
    assert hub.visibility == {"someone/bert": "private", "someone/vit": "public"}
    assert "Bearer hf_made_up" in hub.tokens
    assert hub.files["someone/bert"].keys() == {one.name for one in (tmp_path / "bert").iterdir()}
    cache = tmp_path / "cache"
    kinds = transformers.AutoModelForSequenceClassification
    again = kinds.from_pretrained("someone/bert", cache_dir=cache, use_safetensors=True).eval()
    torch.testing.assert_close(again(**ids).logits, net(**ids).logits, rtol=0, atol=0)
    by_timm = timm.create_model("hf-hub:someone/vit", pretrained=True, cache_dir=cache).eval()
    torch.testing.assert_close(by_timm(x), pictures(x), rtol=0, atol=0)
    header = huggingface_hub.ModelCard(hub.files["someone/bert"]["README.md"].decode()).data
    (result,) = header.eval_results
    assert (header.pipeline_tag, header.datasets) == ("text-classification", ["some/reviews"])
    assert (result.metric_type, result.metric_value, result.dataset_type) == (
        "accuracy",
        0.75,
        "some/reviews",
    )


@ASKS_A_STAND_IN
def test_a_header_that_the_hub_refuses_is_not_pushed(bert, hub, tmp_path):
    net, ids = bert
    told = card(WORDS, library="transformers").replace("text-classification", "fortune-telling")
    save_huggingface(net, tmp_path / "bert", example=ids, facts=WORDS, card=told)
    with pytest.raises(ValueError, match=r"could not be pushed to someone/bert .*fortune-telling"):
        push(tmp_path / "bert", "someone/bert")
    assert not hub.files
    with pytest.raises(ValueError, match=r"no README.md and config.json; push a folder"):
        push(tmp_path, "someone/bert")


def test_data_of_this_machine_are_no_data_of_the_hub():
    told = huggingface_hub.ModelCard(card(PICTURES, library="timm", data="/home/me/cats", accuracy=0.5)).data
    assert told.datasets is None
    assert told.eval_results[0].dataset_type == told.eval_results[0].dataset_name == "cats"
    with pytest.raises(ValueError, match="an accuracy is of some data"):
        card(PICTURES, library="timm", accuracy=0.5)


def test_timm_prepares_pictures_as_the_run_did(of_timm, tmp_path):
    from PIL import Image

    (net, example), facts = of_timm, PICTURES
    save_timm(net, tmp_path / "there", example=example, facts=facts)
    again = timm.create_model(f"local-dir:{tmp_path / 'there'}", pretrained=True)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (67, 160), generator=draw, dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(tmp_path / "wide.png")
    prepare = timm.data.create_transform(**timm.data.resolve_data_config({}, model=again))
    form = Pictures(tuple(facts.shape), tuple(facts.mean), tuple(facts.std))
    ours = form.ready(channels_last=False)(form.read([str(tmp_path / "wide.png")]))[0]
    torch.testing.assert_close(prepare(Image.open(tmp_path / "wide.png")), ours, atol=0.05, rtol=0)


def test_what_a_network_cannot_give_is_refused(bert, of_timm, tmp_path):
    (net, ids), (pictures, x) = bert, of_timm
    plain, rows = nn.Linear(4, 3), torch.randn(2, 4)
    with pytest.raises(ValueError, match=r"Linear is no network of transformers.*give the format timm"):
        save_huggingface(plain, tmp_path / "net", example=rows, facts=WORDS)
    with pytest.raises(ValueError, match=r"Linear was not built by timm.*safetensors, onnx"):
        save_timm(plain, tmp_path / "net", example=rows, facts=WORDS)
    with pytest.raises(ValueError, match="give shape, mean and std"):
        save_timm(pictures, tmp_path / "net", example=x, facts=WORDS)
    facts = Facts(classes=PICTURES.classes, shape=(1, 16, 16), mean=(0.3,), std=(0.2,))
    with pytest.raises(ValueError, match=r"pictures of shape \(1, 32, 32\), where the shape given is"):
        save_timm(pictures, tmp_path / "net", example=x, facts=facts)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not a folder that was exported"):
        save_huggingface(net, tmp_path / "mine", example=ids, facts=WORDS)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]
