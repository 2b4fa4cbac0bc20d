"""The whole way of texts: train on a folder, score, export, and ask the shipped folder alone."""

import functools
import json
import random
import shutil
import subprocess
import sys

import datasets
import pytest
import torch
import transformers

from helpers.small_run import small, whole_and_resumed
from studygroup.cli import main
from studygroup.data import Characters, PadCropFlip, SentencePiece, load_encoder
from studygroup.inputs import logits
from studygroup.training import Settings, evaluate, export, load_net, load_shipped, methods, predict, train
from studygroup.training.describe import describe_run

WORDS = {
    0: ["dull", "slow", "awful", "boring", "weak"],
    1: ["lovely", "bright", "great", "moving", "strong"],
}
FILLER = ["the", "film", "was", "a", "plot", "and", "its", "cast", "<br />", "music"]


def reviews(count, seed):
    """Texts of 3 to 40 words, of which every third tells the label."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        words = [draw.choice(FILLER) for _ in range(draw.randint(3, 40))]
        words[::3] = [draw.choice(WORDS[number % 2]) for _ in words[::3]]
        rows.append({"text": " ".join(words).capitalize(), "label": number % 2})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of 300 rows."""
    path = tmp_path_factory.mktemp("reviews")
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
    )
    for name, count in (("train", 240), ("test", 60)):
        rows = datasets.Dataset.from_list(reviews(count, seed=len(name)), features=features)
        rows.to_parquet(path / f"{name}.parquet")
    return path


def transformer(folder, **changes):
    options = {
        "recipe": functools.partial(methods.cgl, students=3, probability=0.5),
        "data": str(folder),
        "holdout": 40,
        "tokenizer": SentencePiece(vocabulary=60, length=32),
        "model": "text_transformer",
        "model_options": {
            "embedding": 8,
            "hidden": 8,
            "heads": 2,
            "blocks": 2,
            "feed_forward": 16,
            "length": 32,
        },
        "optimizer": functools.partial(torch.optim.Adam, lr=1e-2),
        "epochs": 4,
        "batch_size": 8,
        "accelerator": "cpu",
        "threads": 1,
        "baseline": False,
    }
    return Settings(**(options | changes))


def vdcnn(folder, **changes):
    options = {
        "tokenizer": Characters(length=64),
        "model": "vdcnn9",
        "model_options": {"width": 4, "hidden": 8},
    }
    return transformer(folder, **(options | changes))


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A finished run of the Transformer, with its baseline."""
    run = tmp_path_factory.mktemp("run") / "cgl"
    return train(transformer(folder, baseline=True, epochs=8), run_dir=run, progress_bar=False)


@pytest.mark.slow
def test_a_transformer_learns_and_its_file_scores_the_same(finished):
    assert finished.summary.run.recipe == "cgl"
    assert finished.summary.shipped.test > 0.8  # chance is 0.5
    found = evaluate(finished.folder.path)
    assert found["test"] == found["summary_test"] == finished.summary.shipped.test
    assert found["holdout"] == finished.summary.shipped.holdout
    assert found["test_rows"] == 60


@pytest.mark.slow
def test_the_paths_of_random_routing_go_over_embedding_and_blocks(finished):
    routes = json.loads(finished.folder.routes.read_text())
    assert len({json.dumps(layer) for layer in routes["layers"]}) >= 3


@pytest.mark.slow
def test_speed_and_padding_are_told(finished):
    texts = finished.summary.run.texts
    assert texts.tokens_per_second > 0
    assert 0 <= texts.padding < 0.35
    header, first = finished.folder.metrics.read_text().splitlines()[:2]
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert float(row["padding"]) == pytest.approx(texts.padding, abs=0.1)
    said = describe_run(finished.folder, finished.summary, finished_before=False)
    assert f"beside {texts.padding:.1%} padding" in said
    assert "step on the same 24 texts" in said


@pytest.mark.slow
def test_full_rows_pad_more_than_rows_of_like_length(folder, tmp_path):
    run = train(vdcnn(folder, epochs=1), run_dir=tmp_path / "run", progress_bar=False)
    assert run.summary.run.texts.padding < 0.5
    assert run.summary.run.model == {
        "name": "vdcnn9", "classes": 2, "vocabulary": 69, "padding": 0, "width": 4, "hidden": 8,
    }  # fmt: skip


@pytest.mark.slow
def test_the_shipped_folder_alone_answers(finished, tmp_path, capsys, monkeypatch):
    (alone := tmp_path / "alone").mkdir()
    shutil.copy(finished.folder.weights, alone)
    shutil.copytree(finished.folder.path / "tokenizer", alone / "tokenizer")
    good, bad = "A LOVELY film, great and strong and bright", "dull and slow, boring and awful"
    answers = predict([good, bad], folder=alone)
    assert [answer.label for answer in answers] == ["good", "bad"]
    for answer in answers:
        assert answer.probability == max(answer.probabilities.values()) > 0.5
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)
    net, encoder = finished.load(), load_encoder(alone / "tokenizer")
    (ids,) = encoder([good])
    with torch.no_grad():
        shares = logits(net, {"input_ids": torch.tensor([ids])}).softmax(-1)[0].tolist()
    assert list(answers[0].probabilities.values()) == pytest.approx(shares, abs=1e-5)
    assert list(answers[0].probabilities) == ["bad", "good"]
    monkeypatch.chdir(alone)
    assert main(["predict", good, bad]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"good {answers[0].probability:.1%}  {good}"
    assert second == f"bad {answers[1].probability:.1%}  {bad}"
    assert main(["predict", bad, "--folder", str(finished.folder.path)]) == 0
    assert capsys.readouterr().out == f"{second}\n"
    given = ["predict", bad, good, "--folder", str(finished.folder.path), "--top", "1"]
    assert main([*given, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["input"] for line in lines] == [bad, good]
    for line in lines:
        assert line["probabilities"] == {line["label"]: line["probability"]}
    ranked = predict([bad], folder=finished.folder.path, top=2)[0]
    assert next(iter(ranked.probabilities)) == ranked.label
    assert sum(ranked.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert main([*given[:-1], "0"]) == 1
    assert "top" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_folder_lacks_is_named(finished, tmp_path, capsys):
    shutil.copy(finished.folder.weights, tmp_path)
    with pytest.raises(ValueError, match="tokenizer"):
        load_shipped(tmp_path)
    assert main(["predict", "a film", "--folder", str(tmp_path / "nowhere")]) == 1
    assert "student.safetensors is not there; give the folder of a finished run" in capsys.readouterr().err
    with pytest.raises(ValueError, match="nothing to predict for"):
        predict([], folder=finished.folder.path)


@pytest.mark.slow
def test_the_card_tells_what_the_network_reads(finished):
    card = finished.folder.card.read_text()
    assert "`input_ids` and `attention_mask` (N, L), L at most 32" in card
    assert "`studygroup predict TEXT` answers from this folder alone" in card
    lines = card.split("```python\n")[1].split("```")[0]
    code = f"{lines}\nimport torch\nprint(tuple(net(torch.tensor([[5, 6, 7]])).shape))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(1, 2)"


@pytest.mark.parametrize("make", [transformer, vdcnn])
@pytest.mark.slow
def test_every_format_gives_the_same_answers(make, folder, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = train(make(folder, epochs=1), run_dir=tmp_path / "run", progress_bar=False).folder.path
    texts = ["Dull film", "a bright cast and a lovely plot <br /> the music was moving"]
    shipped = load_shipped(run)
    rows = shipped.form.read(texts)
    with torch.no_grad():
        wanted = logits(shipped.net, rows)
    pickled = torch.load(export(run, format="pickle", output=tmp_path / "p" / "n.pt"), weights_only=False)
    with torch.no_grad():
        assert torch.equal(logits(pickled, rows), wanted)
    again = load_shipped(export(run, student=run_student(run), output=tmp_path / "s" / "net.safetensors"))
    with torch.no_grad():
        assert torch.equal(logits(again.net, again.form.read(texts)), wanted)
    told = "`studygroup predict TEXT --folder net.safetensors` answers"
    assert told in (tmp_path / "s" / "net.safetensors.md").read_text()
    assert "studygroup predict" not in (tmp_path / "p" / "n.pt.md").read_text()
    session = onnxruntime.InferenceSession(export(run, format="onnx", output=tmp_path / "o" / "net.onnx"))
    names = [given.name for given in session.get_inputs()]
    (found,) = session.run(None, {name: rows[name].numpy() for name in names})
    assert torch.allclose(torch.from_numpy(found), wanted, atol=1e-4)


def run_student(run):
    return json.loads((run / "summary.json").read_text())["shipped"]["student"]


@pytest.mark.slow
def test_a_hugging_face_network_ships_with_all_that_it_needs(folder, tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    known = tmp_path / "published"
    transformers.BertConfig(vocab_size=90, **sizes).save_pretrained(known)
    settings = transformer(folder, model=f"huggingface/{known}", model_options={}, epochs=1)
    run = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    wanted = predict(["a great film", "dull"], folder=run.folder.path)
    shutil.rmtree(known)
    moved = shutil.move(run.folder.path, tmp_path / "moved")
    assert predict(["a great film", "dull"], folder=moved) == wanted
    assert type(load_shipped(moved).net) is transformers.BertForSequenceClassification


@pytest.mark.slow
def test_exports_in_one_folder_keep_their_own_configuration(folder, tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    runs = []
    for activation in ("gelu", "relu"):
        known = tmp_path / activation
        transformers.BertConfig(vocab_size=90, hidden_act=activation, **sizes).save_pretrained(known)
        settings = transformer(folder, model=f"huggingface/{known}", model_options={}, epochs=1)
        runs.append(train(settings, run_dir=tmp_path / f"run-{activation}", progress_bar=False).folder.path)
    runs.append(
        train(vdcnn(folder, epochs=1), run_dir=tmp_path / "characters", progress_bar=False).folder.path
    )
    (tmp_path / "both").mkdir()
    exported = export(runs[0], output=tmp_path / "both" / "gelu.safetensors")
    with pytest.raises(ValueError, match="both/configuration is that of another network there"):
        export(runs[1], output=tmp_path / "both" / "relu.safetensors")
    shutil.rmtree(tmp_path / "both" / "configuration")
    shutil.copytree(runs[1] / "configuration", tmp_path / "both" / "configuration")
    with pytest.raises(ValueError, match="both/configuration is that of another network; put its own back"):
        load_net(exported)
    shutil.copytree(runs[1] / "configuration", runs[2] / "configuration")  # which is no business of VDCNN's
    assert type(load_net(runs[2] / "student.safetensors")).__name__ == "VDCNN"


@pytest.mark.slow
def test_a_run_that_goes_on_ends_as_one_never_stopped(folder, tmp_path):
    settings = transformer(folder, epochs=2)
    whole, again = whole_and_resumed(settings, tmp_path)
    assert again.folder.weights.read_bytes() == whole.folder.weights.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dml", "cl_ilr", "one", "okddip", "tree", "intra", "pcl", "byot"])
def test_other_recipes_train_on_texts(name, folder, tmp_path):
    options = {
        "tree": {"table": {"blocks.1": [0, 1], "fc": [0, 1]}},
        "intra": {
            "out": 0.5,
            "mid": 1.0,
            "pull_push": 0.01,
            "inner": ["blocks.0", "blocks.1"],
            "source": "embedding",
        },
        "byot": {"inner": ["blocks.0"]},
        "dml": {"students": 2},
    }.get(name, {})
    recipe = functools.partial(getattr(methods, name), **options)
    run = train(transformer(folder, recipe=recipe, epochs=1), run_dir=tmp_path / "run", progress_bar=False)
    assert 0.3 < run.summary.shipped.test <= 1


@pytest.mark.slow
def test_pictures_and_texts_are_told_apart(folder, tmp_path, unchecked):
    with pytest.raises(ValueError, match="text_transformer"):
        train(transformer(folder, model="cifar_resnet18", model_options={}), run_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="reads texts"):
        train(transformer("digits"), run_dir=tmp_path / "b")
    with pytest.raises(ValueError, match="PadCropFlip changes pictures"):
        train(transformer(folder, augment=PadCropFlip()), run_dir=tmp_path / "c", progress_bar=False)


@pytest.mark.slow
def test_a_picture_is_predicted_for_from_its_file(tmp_path, capsys):
    from PIL import Image

    run = train(small(), run_dir=tmp_path / "run", progress_bar=False)
    data = small().load_data()
    pixels, _ = data.test[torch.arange(3)]
    paths = []
    for number, picture in enumerate(pixels):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(picture[0].numpy()).save(paths[-1])
    answers = predict(paths, folder=run.folder.path)
    with torch.no_grad():
        shares = run.load()(data.form.ready(channels_last=False)(pixels)).softmax(-1)
    for answer, share in zip(answers, shares, strict=True):
        assert answer.label == data.classes[share.argmax()]
        assert list(answer.probabilities.values()) == pytest.approx(share.tolist(), abs=1e-6)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        predict([str(tmp_path / "none.png")], folder=run.folder.path)


def test_exports_in_one_folder_keep_their_own_tokenizer(folder, tmp_path):
    first = train(transformer(folder, epochs=1), run_dir=tmp_path / "first", progress_bar=False).folder.path
    other = transformer(folder, epochs=1, seed=5)  # which draws other rows, to which the tokenizer is fitted
    second = train(other, run_dir=tmp_path / "second", progress_bar=False).folder.path
    (tmp_path / "both").mkdir()
    exported = export(first, output=tmp_path / "both" / "first.safetensors")
    said = predict(["a lovely plot"], folder=exported)[0].probabilities
    with pytest.raises(ValueError, match="both/tokenizer is another tokenizer, of another network there"):
        export(second, output=tmp_path / "both" / "second.safetensors")
    assert predict(["a lovely plot"], folder=exported)[0].probabilities == said
    shutil.rmtree(tmp_path / "both" / "tokenizer")
    shutil.copytree(second / "tokenizer", tmp_path / "both" / "tokenizer")
    with pytest.raises(ValueError, match="is another tokenizer than the network was trained with"):
        predict(["a lovely plot"], folder=exported)


def test_a_run_whose_data_have_changed_is_neither_scored_nor_exported(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    run = train(transformer(tmp_path / "data", epochs=1), run_dir=tmp_path / "run", progress_bar=False).folder
    rows = datasets.Dataset.from_parquet(str(folder / "train.parquet"))
    more = datasets.concatenate_datasets([rows, rows.select(range(20))])
    more.to_parquet(tmp_path / "data" / "train.parquet")
    for ask in (export, evaluate):
        with pytest.raises(
            ValueError, match=r"are others than it was trained on \(.*differ\); put these back"
        ):
            ask(run.path)
    assert len(predict(["a lovely plot"], folder=run.path)) == 1


def test_texts_longer_than_the_network_are_refused_before_training(folder, tmp_path):
    short = transformer(folder, tokenizer=SentencePiece(vocabulary=60, length=512))
    with pytest.raises(ValueError, match=r"the longest text has \d+ tokens, which the network does not take"):
        train(short, run_dir=tmp_path / "run", progress_bar=False)


def test_a_teacher_that_reads_other_tokens_is_refused(folder, tmp_path):
    """The tokenizer is fitted to the training rows, which the seed draws."""
    train(
        transformer(folder, recipe=methods.baseline, epochs=1),
        run_dir=tmp_path / "teacher",
        progress_bar=False,
    )
    taught = functools.partial(methods.distillation, teacher=str(tmp_path / "teacher"))
    same, other = transformer(folder, recipe=taught), transformer(folder, recipe=taught, seed=1)
    same.build_task(same.load_data())
    with pytest.raises(ValueError, match="the teacher's tokenizer is not that of this run"):
        other.build_task(other.load_data())
