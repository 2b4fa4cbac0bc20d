import json

import pytest
import yaml

from studygroup.cli import main

SMALL = [
    "--recipe=cgl", "--recipe.students=2", "--recipe.layers=[layer1.0]", "--model_options.width=4",
    "--train_rows=200", "--test_rows=50", "--epochs=1", "--batch_size=40", "--accelerator=cpu",
    "--progress_bar=false",
]  # fmt: skip


@pytest.mark.slow
def test_train_evaluate_export(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", *SMALL, "--run_dir", run]) == 0
    said = capsys.readouterr().out
    for words in (
        "student 1",
        "ensemble of all students",
        "shipped: student",
        "plain baseline",
        "updates",
        "step on the same",
        "memory of that step",
        "parameters in training",
        "safetensors.torch.load_model",
    ):
        assert words in said
    page = tmp_path / "run" / "report.html"
    assert said.rstrip().endswith(f"Report with curves: {page}")
    assert ">Load the shipped network</h3>" in page.read_text(encoding="utf-8")
    assert main(["evaluate", run]) == 0
    assert "as the summary says" in capsys.readouterr().out
    assert main(["export", run, "--student", "1", "--format", "pickle"]) == 0
    assert (tmp_path / "run" / "export" / "student-1.pt").exists()
    capsys.readouterr()

    assert main(["train", *SMALL, "--run_dir", run]) == 1
    assert "is not empty; continue the run there with --resume" in capsys.readouterr().err
    assert main(["train", *SMALL, "--run_dir", run, "--resume", "true"]) == 0
    assert "is finished; nothing was done" in capsys.readouterr().out
    assert main(["train", *SMALL, "--run_dir", run, "--resume", "--seed=1"]) == 1
    assert "seed: 0 there, 1 now" in capsys.readouterr().err
    assert main(["train", "--resume", run, "--progress_bar=false"]) == 0
    assert "is finished; nothing was done" in capsys.readouterr().out
    assert main(["train", f"--resume={run}", "--run_dir", run]) == 1
    assert "and so does --run_dir; give one of them" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path)]) == 1
    assert f"{tmp_path} holds no run that could go on: config.yaml is missing" in capsys.readouterr().err
    config = tmp_path / "run" / "config.yaml"
    config.write_text(
        yaml.safe_dump(yaml.safe_load(config.read_text()) | {"noise": "helpers.hostile_import.noise"})
    )
    assert main(["train", "--resume", run]) == 1
    assert "noise names 'helpers.hostile_import.noise', which was not imported" in capsys.readouterr().err


@pytest.mark.slow
def test_a_runs_own_configuration_repeats_it(tmp_path, capsys):
    main(["train", *SMALL, "--baseline=false", "--run_dir", str(tmp_path / "a")])
    config = str(tmp_path / "a" / "config.yaml")
    capsys.readouterr()
    assert main(["train", "--config", config, "--run_dir", str(tmp_path / "b")]) == 0
    bar = capsys.readouterr().err.replace("\r", "\n").rstrip().splitlines()[-1]
    assert "100%" in bar
    assert "epoch 1, hold-out" in bar  # the last words are those of the last epoch
    a, b = (json.loads((tmp_path / name / "summary.json").read_text()) for name in "ab")
    assert (a["shipped"], a["test"]) == (b["shipped"], b["test"])
    weights = [(tmp_path / name / "student.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_print_config_is_what_config_takes(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "--recipe=cgl", "--recipe.students=5", "--rate=MultiStep", "--print_config"])
    assert exit_info.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["recipe"]["init_args"]["students"] == 5
    assert config["rate"]["init_args"]["milestones"] == [60, 120, 160]


@pytest.mark.parametrize(
    "wrong", [["--recipe=cgll"], ["--recipe.studens=3"], ["--epochs=many"], ["--rate=Cosin"]]
)
def test_a_wrong_option_is_named(wrong, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *wrong])
    assert exit_info.value.code == 2
    assert wrong[0].split("=")[0].split(".")[-1].lstrip("-") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--recipe.students=5", "--recipe", "dml"],
            "--recipe.students stands before --recipe, which would undo it",
        ),
        (["--optimizer.lr", "0.1", "--optimizer=SGD"], "--optimizer.lr stands before --optimizer"),
        (
            [
                "--recipe=kdcl",
                "--recipe.teacher.decay=0.5",
                "--recipe.teacher=studygroup.teachers.GeneralTeacher",
            ],
            "--recipe.teacher.decay stands before --recipe.teacher,",
        ),
        (["--recipe", "cgll"], "--recipe cgll is not known (near: 'cgl', 'cl_ilr')"),
        (["--rate=cosine"], "--rate cosine is not known (near: 'Cosine')"),
        (["--optimizer", "Sgd"], "--optimizer Sgd is not known (near: 'SGD'"),
    ],
)
def test_what_the_parser_would_undo_or_not_explain(given, words, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *given])
    assert exit_info.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_data_that_are_not_there_are_named(tmp_path, capsys):
    assert main(["train", "--data", str(tmp_path / "nothing"), "--run_dir", str(tmp_path / "run")]) == 1
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--data=digits", "--run_dir"], ["report"]])
def test_a_file_in_the_place_of_a_folder_is_named(command, tmp_path, capsys):
    file = tmp_path / "note"
    file.touch()
    assert main([*command, str(file)]) == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--epochs=0", "--batch_size=0", "--checkpoint_every=0", "--test_rows=0"])
def test_nothing_where_something_is_needed(option, tmp_path, capsys):
    assert main(["train", option, "--run_dir", str(tmp_path / "run")]) == 1
    assert option.strip("-=0") in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tune_and_train_the_best(tmp_path, capsys):
    run = str(tmp_path / "tune")
    search = '{"recipe.temperature": [1.0, 4.0], "optimizer.lr": {"low": 1e-3, "high": 3e-3, "step": 2e-3}}'
    tune = ["tune", *SMALL, "--search", search, "--run_dir", run]
    assert main([*tune, "--sampler=grid", "--trials=2"]) == 0
    said = capsys.readouterr().out
    assert "2 trials: 2 finished" in said
    assert "No test row has been scored" in said
    command = next(line for line in said.splitlines() if line.startswith("  studygroup train"))
    assert command.split()[3:] == [f"{run}/best.yaml", "--seed", "1", "--run_dir", f"{run}/best-1"]
    assert main([*command.split()[1:], "--progress_bar=false", "--baseline=false"]) == 0
    assert "scored after the choice" in capsys.readouterr().out

    assert main([*tune, "--sampler=grid", "--epochs=2"]) == 1
    assert "epochs: 1 there, 2 now" in capsys.readouterr().err
    assert main(["tune", *SMALL, "--search.recipe.temperatures", "[1.0]", "--run_dir", run]) == 1
    assert "near: 'recipe.temperature'" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"a: [1"])
def test_a_configuration_that_cannot_be_read_is_a_clear_error(content, tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    assert main(["train", "--config", str(file)]) == 1
    assert f"--config {file} cannot be read as a configuration" in capsys.readouterr().err


WRONG = {
    "epochs: one": "epochs: expected int, got one",
    "lerning_rate: 3": "does not accept option 'lerning_rate'",
    "holdout: .nan": "holdout is nan; give a share in [0, 1) or an int, a number of rows",
    "recipe: {class_path: cgl, init_args: {students: many}}": "recipe.students: expected int, got many",
    "recipe: {class_path: cgl, init_args: {studens: 2}}": "recipe: Option 'studens' is not accepted",
    "seed: 1\nseed: 2": "it has the key 'seed' in line 1 and in line 2",
    "[]": "is a list, where settings stand by names",
    "null": "is empty, where settings stand by names",
    "# nothing": "is empty, where settings stand by names",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_wrong_key_of_a_file_is_one_line_with_its_file(content, tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(content + "\n")
    assert main(["train", "--config", str(file), "--run_dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert WRONG[content] in said
    assert len(said.splitlines()) == 1
    assert str(file) in said
    assert not (tmp_path / "run").exists()


TYPED = {
    "--epochs=1.5": "epochs: expected int, got 1.5",
    "--optimizer.lr=nan": "optimizer.lr: expected one of float, torch.Tensor, got nan",
    "--recipe.temperature=inf": "recipe.temperature: expected float, got inf",
    "--recipe.ramp=[0]": "recipe.ramp: Expected a tuple with 2 elements, got [0]",
    "--image_size=[8]": "image_size: expected one of tuple[int, int], null, got [8]",
    "--rate.warmup=nan": "rate.warmup: expected float, got nan",
}


@pytest.mark.parametrize("word", TYPED)
def test_a_wrong_value_is_told_in_one_line_with_its_key(word, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", word])
    assert end.value.code == 2
    expected = f"studygroup train: {TYPED[word]}\n`studygroup train --help` shows what there is\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("more", [[], ["--check"], ["--recipe=dml", "--recipe.in_turn=true"]])
def test_an_optimiser_that_asks_for_the_loss_again_and_again_is_refused(more, tmp_path, capsys):
    given = ["--optimizer=LBFGS", "--run_dir", str(tmp_path / "run")]
    assert main(["train", *more, *given]) == 1
    assert "optimizer LBFGS evaluates the loss several times an update" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--accelerator=tpu"], "accelerator 'tpu' is not there; this machine has cpu"),
        (["--gradient_clip_val=-1"], "gradient_clip_val is -1.0; give a number above 0"),
        (["--seed=1" + "0" * 400], "000; give at most 18446744073709551616"),
        (
            ["--recipe=byot", "--recipe.inner=[]"],
            "no layer is named to put a classifier on, and without any this is",
        ),
        (["--threads=100000"], "threads is 100000; give at most 1024"),
        (["--optimizer.lr=-1"], "the optimizer refuses its arguments: Invalid learning rate: -1.0"),
        (["--rate=MultiStep", "--rate.milestones=[-1]"], "one of the milestones is -1"),
        (["--model_options.width=x"], "cannot be built with channels=1, width='x'"),
        (["--model_options.width=1.5"], "cannot be built with channels=1, width=1.5 ("),
    ],
)
def test_what_no_training_can_use_is_refused_before_it(given, words, tmp_path, capsys):
    assert main(["train", *given, "--run_dir", str(tmp_path / "run")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_value_that_holds_itself_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--recipe=tree", "--recipe.table=&a {layer4: *a}"])
    assert end.value.code == 2
    assert "the value of --recipe.table cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_a_check_measures_and_writes_nothing(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", *SMALL, "--check", "--run_dir", str(run)]) == 0
    said = capsys.readouterr().out
    assert "digits, 180 rows to train on, 20 held out, 50 to test on, 10 classes" in said
    assert "cgl: 1 epochs of 3 updates" in said
    assert "baseline: 1 epochs of 5 updates" in said
    assert "training will take about" in said
    assert not list(tmp_path.iterdir())
    run.mkdir()
    (run / "note").touch()
    assert main(["train", *SMALL, "--check", "--run_dir", str(run)]) == 1
    assert "is not empty" in capsys.readouterr().err
