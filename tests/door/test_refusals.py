import pytest

from studygroup.door import answer
from studygroup.door.answers import Answer

CONFIG = "examples/byot.yaml"


def refused(line: str) -> str:
    """Return what is said of a mistyped line."""
    found = answer(line.split())
    assert isinstance(found, Answer)
    assert (found.status, found.out) == (2, "")
    said, shows = found.err.splitlines()
    assert shows.endswith("--help` shows what there is")
    return said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian", "there is no command 'trian'; did you mean train?"),
        ("zzz", "there is no command 'zzz'; there are train, evaluate,"),
        ("--epochs 3 train", "--epochs stands before the command"),
        ("train --students 3", "there is no option --students; did you mean --recipe.students?"),
        ("train --epcohs 3", "there is no option --epcohs; did you mean --epochs?"),
        ("train --batch-size=3", "there is no option --batch-size; did you mean --batch_size?"),
        ("train --lr 3", "there is no option --lr; did you mean --optimizer.lr?"),
        ("train -x", "there is no option -x"),
        ("train --data.x 1", "--data has no arguments of its own"),
        (
            "train --recipe.studnets=3",
            "recipe cgl has no argument --recipe.studnets; did you mean --recipe.students",
        ),
        (
            "train --recipe.alpha 1",
            "recipe cgl has no argument --recipe.alpha; byot, cl_ilr, distillation, intra,",
        ),
        (
            "train --recipe dml --recipe.decay 1",
            "recipe dml has no argument --recipe.decay; pcl, self_distillation",
        ),
        (
            "train --recipe studygroup.recipes.dml --recipe.decay 1",
            "recipe dml has no argument --recipe.decay",
        ),
        ("train --recipe dml --recipe.init_args.decay 1", "recipe dml has no argument"),
        ("train --recipe.students.x 1", "--recipe.students has no arguments of its own"),
        ("train --optimizer SGD --optimizer.momentun 1", "did you mean --optimizer.momentum?"),
        ("train --rate MultiStep --rate.multipy 1", "did you mean --rate.multiply?"),
        (f"train --config {CONFIG} --recipe.students 3", "recipe byot has no argument --recipe.students"),
        (
            "train --recipe cgll",
            "--recipe cgll is not known (near: 'cgl', 'cl_ilr'); there are auxiliary_training,",
        ),
        ("train --epochs many", "--epochs is 'many'; give a whole number"),
        ("train --holdout half", "--holdout is 'half'; give a number"),
        ("train --recipe cgl --recipe.students many", "--recipe.students is 'many'; give a whole number"),
        ("train --select lats", "--select lats is not known (near: 'last'); there are last, best"),
        ("train --baseline flase", "--baseline flase is not known (near: 'false')"),
        ("train --epochs", "--epochs needs a value: number of times that every training row is seen."),
        ("train --data --epochs 3", "--data needs a value"),
        ("train epochs=3", "'epochs=3' is one word too many; did you mean --epochs=3?"),
        ("train --config nothing", "--config nothing: there is no such file"),
        ("evaluate", "RUN is missing: the run folder."),
        ("evaluate a b", "'b' is one word too many"),
        ("evaluate a --student 3", "`evaluate` has no option --student; export has it"),
        ("analyse flatnes runs/a", "there is no command 'flatnes'; did you mean flatness?"),
        ("analyse", "it needs one of calibration,"),
        ("analyse flatness", "RUNS is missing"),
        ("tune --epochs 3", "--search is missing"),
    ],
)
def test_a_mistyped_word_is_refused_with_what_was_meant(line, words):
    assert words in refused(line)


@pytest.mark.parametrize(
    "line",
    [
        "train --recipe mine.recipe --recipe.anything 1",
        "train --recipe {class_path:dml} --recipe.anything 1",
        "train --model_options.anything many",
        "train --recipe=kdcl --recipe.teacher=studygroup.teachers.GeneralTeacher --recipe.teacher.decay=0.5",
        "train --recipe cgl --recipe.class_path=dml",
        "train --image_size null --seed -1 --gradient_clip_val -1 --in_memory_bytes 1e9",
        "train --allow mine --recipe mine.recipe --allow=other",
        "--allow mine evaluate runs/a",
        "evaluate --print_config",
        "tune --search.recipe.temperature [1,2] --seeds+ 3",
        "predict -- --a-text",
        "predict -1",
    ],
)
def test_what_only_the_parser_can_judge_goes_on(line):
    assert answer(line.split()) is None


@pytest.mark.parametrize(
    "content", ["recipe: mine.recipe", "recipe: &a cgl", "{recipe: mine}", "<<: {recipe: dml}"]
)
def test_a_class_that_a_file_does_not_plainly_name_goes_on(content, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"{content}\n")
    assert answer(["train", "--config", str(file), "--recipe.anything", "1"]) is None


@pytest.mark.parametrize(
    "content", ["recipe: dml  # mine", "epochs: 3\nrecipe:\n  class_path: dml\n  init_args: {}"]
)
def test_a_class_that_a_file_names_is_known(content, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"{content}\n")
    assert "recipe dml has no argument" in refused(f"train --config {file} --recipe.layers []")
    assert answer(["train", "--config", str(file), "--recipe.students", "3"]) is None
    found = answer(["train", "--config", str(file), "--recipe", "cgl", "--recipe.layers", "[]"])
    assert found is None


def test_the_optimisers_of_another_torch_are_left_to_it(monkeypatch):
    monkeypatch.setattr("studygroup.door.table.version", lambda package: "9.9")
    assert answer(["train", "--optimizer", "Newest", "--optimizer.anything", "1"]) is None
    assert answer(["train", "--optimizer.help", "Newest"]) is None
    assert "--recipe cgll is not known" in refused("train --recipe cgll")
