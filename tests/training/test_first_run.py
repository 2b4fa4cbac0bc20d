import pytest
import yaml

from helpers.summaries import summary
from studygroup.cli import main
from studygroup.training import Settings
from studygroup.training.describe import headline_rows
from studygroup.training.first_run import FIRST_RUN, OVER_SEEDS, first_run, is_first_run


def printed(capsys, *given):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *given, "--print_config"])
    assert exit_info.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_without_a_setting_the_first_run_is_trained(capsys):
    config = printed(capsys, "--seed=3", "--accelerator=cpu")
    assert config["seed"] == 3
    for name, value in yaml.safe_load(FIRST_RUN.read_text()).items():
        if name not in ("recipe", "optimizer", "rate"):
            assert config[name] == value
    assert config["recipe"]["class_path"].endswith("dml")
    assert (
        config["recipe"]["init_args"]["students"] == first_run().config()["recipe"]["init_args"]["students"]
    )


@pytest.mark.parametrize("given", ["--epochs=3", "--data=digits", "--recipe=cgl"])
def test_with_one_the_defaults_are(given, capsys):
    assert printed(capsys, given)["model"] == Settings().model


def test_the_first_run_is_known_by_its_settings_whatever_the_seed():
    config = first_run().config()
    assert is_first_run(config | {"seed": 5, "accelerator": "cpu"})
    assert not is_first_run(config | {"epochs": 3})
    assert not is_first_run(Settings().config())


def test_the_short_table_has_what_there_is():
    both = summary(own=0.8, students=(0.8, 0.7), ensemble=0.85, baseline=0.7)
    assert [value for _, value in headline_rows(both)] == ["80.00%", "75.00%", "85.00%", "70.00%"]
    alone = summary(own=0.8, students=(0.8,), baseline=None)
    assert headline_rows(alone) == [("the student that ships", "80.00%")]


@pytest.mark.slow
def test_the_first_run_ships_what_was_measured(tmp_path, capsys):
    """The floor is below the least of the seeds in benchmarks/results/first_run.json."""
    assert main(["train", "--run_dir", str(tmp_path / "run"), "--progress_bar=false"]) == 0
    said = capsys.readouterr().out
    assert OVER_SEEDS in said
    last = said[said.index("In short, on 300 test rows:") :]
    shipped = float(last.splitlines()[1].split()[-1].rstrip("%"))
    assert shipped > 80
