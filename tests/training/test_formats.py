"""A run's network in every format, by the command line and from Python, opened by the library that it is for."""

import functools
import json

import datasets
import huggingface_hub
import pytest
import torch

from helpers.small_run import small
from studygroup.cli import main
from studygroup.data import Pretrained
from studygroup.training import Settings, export, methods, train

# torch's ONNX exporter uses parts of torch that torch itself has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.slow
def test_the_ensemble_of_a_run_is_one_program(finished, tmp_path, capsys):
    path = tmp_path / "all.pt2"
    words = ["--ensemble", "true", "--format", "torch_export", "--output", str(path)]
    assert main(["export", str(finished.folder.path), *words]) == 0
    assert f"wrote {path} and its card {path}.md" in capsys.readouterr().out
    files = {"studygroup.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    x, shipped = torch.rand(3, 1, 8, 8), finished.task().shipped.eval()
    expected = shipped(x).logits.double().softmax(-1).mean(0)
    torch.testing.assert_close(program(x).softmax(1).double(), expected, atol=1e-6, rtol=1e-4)
    form = finished.data.form
    facts = {name: json.loads(value) for name, value in json.loads(files["studygroup.json"]).items()}
    assert facts["classes"] == list(finished.data.classes)
    assert (facts["mean"], facts["std"], facts["shape"]) == (list(form.mean), list(form.std), [1, 8, 8])
    card = path.with_name("all.pt2.md").read_text()
    assert f"| **this ensemble** | **{finished.summary.test.ensemble:.2%}** |" in card
    assert "all students after epoch 3 answer together" in card
    assert "One module of 3 networks, which answers with the mean of their probabilities," in card


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"format": "huggingface"}, "no network of transformers"),
        ({"format": "timm"}, "was not built by timm"),
        (
            {"ensemble": True},
            "the format safetensors holds one network.* give one of onnx, torch_export, pickle",
        ),
        ({"ensemble": True, "format": "timm"}, "holds one network"),
        ({"ensemble": True, "format": "onnx", "student": 1}, "two things to export"),
        ({"format": "onnx", "push": "me/mine"}, "onnx is a file; give one of huggingface, timm"),
    ],
)
def test_what_a_format_cannot_give_is_refused(asked, said, finished, tmp_path):
    with pytest.raises(ValueError, match=said):
        export(finished.folder.path, output=tmp_path, **asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_onnx_of_a_run_holds_its_facts(finished, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    for ensemble in (False, True):
        path = export(finished.folder.path, format="onnx", ensemble=ensemble, output=tmp_path)
        assert path.name == (
            "ensemble.onnx" if ensemble else f"student-{finished.summary.shipped.student}.onnx"
        )
        found = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
        assert json.loads(found["classes"]) == list(finished.data.classes)
        assert json.loads(found["mean"]) == list(finished.data.form.mean)
        assert json.loads(found["std"]) == list(finished.data.form.std)


@pytest.mark.slow
def test_a_run_of_timms_network_opens_in_timm(tmp_path):
    timm = pytest.importorskip("timm")
    changes = {
        "model": "timm/test_resnet",
        "model_options": {"drop_rate": 0.1},
        "epochs": 1,
        "train_rows": 100,
    }
    run = train(
        small(**changes),
        run_dir=tmp_path / "run",
        progress_bar=False,
    )
    path = export(run.folder.path, format="timm")
    assert path == run.folder.path / "export" / f"student-{run.summary.shipped.student}-timm"
    net, x = timm.create_model(f"local-dir:{path}", pretrained=True).eval(), torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(net(x), run.load()(x))
    assert net.pretrained_cfg["label_names"] == list(run.data.classes)
    found = timm.data.resolve_data_config({}, model=net)
    assert (found["input_size"], *found["mean"]) == ((1, 8, 8), *run.data.form.mean)
    header = huggingface_hub.ModelCard.load(path / "README.md").data
    assert header.eval_results[0].metric_value == pytest.approx(run.summary.shipped.test, abs=1e-6)
    assert "timm.create_model" in (path / "README.md").read_text()


@pytest.mark.slow
def test_a_run_of_texts_opens_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "good", "bad", "film", "play"]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    fast.save_pretrained(tmp_path / "words")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertConfig(vocab_size=6, max_position_embeddings=16, **sizes).save_pretrained(
        tmp_path / "bert"
    )
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["panned", "praised"])
    )
    rows = [
        {"text": f"{('bad', 'good')[k % 2]} {('film', 'play')[k % 3 == 0]}", "label": k % 2}
        for k in range(80)
    ]
    for name in ("train", "test"):
        datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "data" / f"{name}.parquet")
    settings = Settings(
        recipe=functools.partial(methods.dml, students=2), data=str(tmp_path / "data"), holdout=20,
        tokenizer=Pretrained(name=str(tmp_path / "words"), length=16), epochs=2,
        model=f"huggingface/{tmp_path / 'bert'}",
        optimizer=functools.partial(torch.optim.Adam, lr=1e-2), batch_size=8, accelerator="cpu", baseline=False,
    )  # fmt: skip
    run = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    path = export(run.folder.path, format="huggingface", student=1, output=tmp_path / "folder")
    ask = transformers.pipeline("text-classification", model=str(path), device="cpu")
    net = run.task().shipped.export(1).eval()
    for text in ("good film", "bad play"):
        (answer,) = ask(text)
        ids = run.data.form.read([text])
        shares = dict(zip(("panned", "praised"), net(**ids).logits.softmax(-1)[0].tolist(), strict=True))
        assert answer["label"] == max(shares, key=shares.get)
        assert answer["score"] == pytest.approx(shares[answer["label"]], abs=1e-5)
    header = huggingface_hub.ModelCard.load(path / "README.md").data
    assert (header.library_name, header.pipeline_tag) == ("transformers", "text-classification")
    with pytest.raises(ValueError, match="timm's networks read pictures"):
        export(run.folder.path, format="timm")
