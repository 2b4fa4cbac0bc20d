"""Sequence classifiers of the Hugging Face library, from folders: nothing here goes to the hub."""

import sys

import pytest
import torch
import transformers

import studygroup as sg
from helpers.networks import texts
from studygroup.layers import blocks, last_group
from studygroup.models import build, huggingface

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def folder(tmp_path):
    transformers.BertConfig(vocab_size=90, dtype="bfloat16", **SIZES).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def trained(folder):
    """Weights for three classes and 90 ids."""
    net = huggingface(str(folder), 3)
    net.save_pretrained(folder)
    return net, folder


def test_a_configuration_with_fresh_weights(folder):
    net = build(f"huggingface/{folder}", classes=7, vocabulary=50, padding=0, num_hidden_layers=3)
    assert type(net) is transformers.BertForSequenceClassification
    assert net.training
    assert net.bert.embeddings.word_embeddings.weight.shape == (50, 16)
    assert net.bert.embeddings.word_embeddings.padding_idx == 0
    assert net.classifier.out_features == 7
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert not net.config.use_cache
    assert blocks(net)[1:] == tuple(f"bert.encoder.layer.{i}" for i in range(3))
    assert net(**texts(4)).logits.shape == (4, 7)


def test_what_is_omitted_stays_as_configured(folder):
    net = huggingface(str(folder), 3)
    assert (net.config.vocab_size, net.config.pad_token_id) == (90, 0)
    assert huggingface(str(folder), 3, padding=5).config.pad_token_id == 5


def test_weights_follow_the_seed(folder):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(huggingface(str(folder), 3).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_students_of_it_are_exported_as_the_librarys_own(folder):
    def make():
        return huggingface(str(folder), 3, vocabulary=50, padding=0)

    net = make()
    routes = sg.routes.random(blocks(net)[1:], students=4, modules=2)
    group = sg.StudyGroup(net, routes, init=make, share_head=True).eval()
    x = texts(4)
    with torch.no_grad():
        logits = group(x).logits
        for student in range(4):
            network = group.export(student).eval()
            torch.testing.assert_close(network(**x).logits, logits[student])
            assert type(network) is type(net)
    assert last_group(net) == ("bert.encoder.layer.1", "bert.pooler", "classifier")


def test_trained_weights_are_loaded(trained):
    net, folder = trained
    same = build(f"huggingface/{folder}", classes=3, vocabulary=90, padding=0, pretrained=True)
    assert same.training
    for (name, a), b in zip(net.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert same.classifier.weight.dtype == torch.float32


def test_another_number_of_classes_gets_a_new_classifier(trained):
    net, folder = trained
    other = huggingface(str(folder), 5, pretrained=True)
    assert other.classifier.weight.shape == (5, 16)
    ours, theirs = net.bert.state_dict(), other.bert.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert huggingface(str(folder), 3, vocabulary=70, pretrained=True).config.vocab_size == 90


def test_weights_that_do_not_fit(trained):
    _, folder = trained
    with pytest.raises(
        ValueError, match="know 90 ids, and the texts have 91; encode them with the tokeniser"
    ):
        huggingface(str(folder), 3, vocabulary=91, pretrained=True)
    with pytest.raises(ValueError, match=r"do not fit the options: '.*' has another size; leave pretrained"):
        huggingface(str(folder), 3, pretrained=True, intermediate_size=8)


def test_unknown_options(folder):
    with pytest.raises(ValueError, match=r"has no 'hiden_size'; it has .*hidden_size"):
        huggingface(str(folder), 3, hiden_size=8)


def test_what_cannot_be_built(folder, tmp_path, monkeypatch):
    transformers.ViTMAEConfig().save_pretrained(tmp_path / "mae")
    for name, reason in (
        (str(tmp_path), "ValueError: Unrecognized model"),
        (str(tmp_path / "missing"), "OSError: Repo id"),
        (str(tmp_path / "mae"), "ValueError: Unrecognized configuration class"),
    ):
        with pytest.raises(
            ValueError, match=rf"cannot build '{name}' \({reason}.*check the spelling and the"
        ):
            huggingface(name, 3)
    with pytest.raises(ValueError, match="OSError: Error no file named"):
        huggingface(str(folder), 3, pretrained=True)

    def unreachable(*args, **kwargs):
        raise OSError("We couldn't connect\nto anything")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(
        ValueError, match=r"cannot build 'some/net' \(OSError: We couldn't connect\); if it is"
    ):
        build("huggingface/some/net", classes=3, vocabulary=50, padding=0)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ValueError, match=r"'some/net' needs a package more .* pip install 'studygroup\[text\]'"
    ):
        huggingface("some/net", 3)
