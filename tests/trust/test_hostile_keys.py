"""Every key of a configuration that may name something, in one process: nothing runs, and the error names the key."""

import time

import pytest
import yaml

from helpers.hostile import SECONDS, within
from helpers.small_run import small
from studygroup.cli import main
from studygroup.training import Settings
from studygroup.training.typed import read_typed
from studygroup.trust import NotAllowedError

CALL, IMPORT = "helpers.hostile.mark", "helpers.hostile_import.Harmless"
MARKS = {"class_path": "helpers.hostile.Marks", "init_args": {}}


def hidden(path, /, **arguments):
    return {"class_path": path, "init_args": arguments}


KEYS = {
    "metrics": [
        *({"f1": IMPORT}, {"f1": MARKS}, {"f1": "torchmetrics.utilities.os.system"}, [IMPORT]),
        {"f1": {"torchmetrics.F1Score": {"task": MARKS}}},
    ],
    "callbacks": [
        *([CALL], [IMPORT], [MARKS], {"a": IMPORT}, [{IMPORT: {}}]),
        [{"lightning.pytorch.callbacks.LambdaCallback": {"on_fit_start": CALL}}],
        [{"lightning.pytorch.callbacks.ModelCheckpoint": {"dirpath": "/etc"}}],
    ],
    "loggers": [
        *([IMPORT], [MARKS]),
        [{"lightning.pytorch.loggers.CSVLogger": {"save_dir": "/etc"}}],
        [{"lightning.pytorch.loggers.TensorBoardLogger": {"save_dir": "../..", "name": "../../etc"}}],
    ],
    "criterion": [CALL, IMPORT, MARKS, hidden("CrossEntropy", label_smoothing=MARKS)],
    "mix": [
        *(CALL, IMPORT, MARKS, hidden("studygroup.data.MixUp", alpha=MARKS)),
        {**hidden("studygroup.data.MixUp"), "dict_kwargs": {"alpha": MARKS}},
    ],
    "augment": [
        hidden("studygroup.data.TorchVision", transforms=[MARKS]),
        hidden("studygroup.data.TorchVision", transforms=[{"Lambda": {"lambd": MARKS}}]),
        hidden("studygroup.data.TorchVision", transforms=["functional"]),
    ],
    "rate": [
        hidden("TorchRate", name="LambdaLR", options={"lr_lambda": CALL}),
        hidden("TorchRate", name="StepLR", options={"step_size": MARKS}),
        hidden("TimmRate", name="cosine", options={"warmup_t": MARKS}),
    ],
    "optimizer": [
        hidden("torch.optim.Adam", lr=MARKS),
        *({"class_path": MARKS}, {"class_path": [IMPORT]}, {"class_path": "torch.optim.Adam", "x": MARKS}),
    ],
    "noise": [hidden("studygroup.data.SymmetricNoise", rate=MARKS)],
    "tokenizer": [hidden("studygroup.data.Characters", length=MARKS)],
    "recipe": [
        *(hidden("cgl", layers=MARKS), hidden("cgl", init=IMPORT), hidden("cgl", ramp=[MARKS, 1])),
        hidden("intra", mid=hidden("studygroup.schedules.ramp", start=MARKS)),
    ],
    "model_options": [{"a": {"b": [{"c": MARKS}]}}, {"act_layer": MARKS}],
    "search": [{"mix": [CALL]}, {"recipe": [hidden("cgl", init=IMPORT)]}, {"augment": [MARKS]}],
    "augment.class_path": [CALL],
    "recipe.init": [IMPORT],
    "train": [{"augment": CALL}],
    "subcommand": ["tune"],
    "class_path": [IMPORT],
}


def test_no_key_of_a_configuration_runs_code(tmp_path, mark):
    """As Python reads it, and as the command line does."""
    file, own = tmp_path / "config.yaml", small(epochs=1).config()
    cases = [(key, value) for key, values in KEYS.items() for value in values]
    assert len(cases) > 40
    for key, value in cases:
        file.write_text(yaml.safe_dump(own | {key: value}))
        with pytest.raises(ValueError, match=r"config\.yaml") as refused:
            Settings.from_config(own | {key: value}, where=file)
        assert not mark.exists(), (key, value)
        if isinstance(refused.value, NotAllowedError):
            assert key.partition(".")[0] in str(refused.value), (key, value)


def test_no_key_runs_code_on_the_command_line(tmp_path, mark, capsys):
    file, own = tmp_path / "config.yaml", small(epochs=1).config()
    for key in ("metrics", "callbacks", "loggers", "criterion", "mix"):
        for value in KEYS[key]:
            file.write_text(yaml.safe_dump(own | {key: value}))
            with within(SECONDS):
                try:
                    status = main(["train", "--config", str(file), "--run_dir", str(tmp_path / "new")])
                except SystemExit as end:
                    status = end.code
            said = capsys.readouterr().err
            assert status in (1, 2), (key, value)
            assert not mark.exists(), (key, value)
            assert "Traceback" not in said
    assert not (tmp_path / "new").exists()


def test_numbers_and_texts_without_end_are_refused_soon(tmp_path):
    """Billions of digits, and names of a million letters."""
    file, start = tmp_path / "config.yaml", time.process_time()
    for text in ("seed: 1" + "0" * 20_000, "a" * 20_000 + ": 1", "? [" + "[" * 2000, "- &a [*a, *a]"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"config\.yaml"):
            read_typed(["train", "--config", str(file)]).files()
    file.write_text(f"seed: &a {[1] * 100}\nrun_dir: [{', '.join(['*a'] * 600)}]\n")
    with pytest.raises(ValueError, match="50,000"):
        read_typed(["train", "--config", str(file)]).files()
    assert time.process_time() - start < 10
