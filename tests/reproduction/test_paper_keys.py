"""The lab: keys that tell configurations apart, and places of data."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from reproduction.equal_cost import AS_LONG
from reproduction.lab import Lab, config_key, parse_places
from reproduction.reading import merged, table_called, tables
from reproduction.runner import wanted_runs
from reproduction.scale import SMALL
from studygroup.training import Settings
from studygroup.training.migrate import ONE_PROCESS
from studygroup.training.settings import RESULT_STAYS


def test_equal_cells_have_equal_keys(small):
    def of_cell(id, row, column):
        return small.key(table_called(id).cells[row, column])

    row = "ResNet-18, CIFAR-100"
    cgl = of_cell("cgl-table-2", row, "CGL")
    assert cgl == of_cell("cgl-table-4", row, "full CGL") == of_cell("cgl-figure-4", "diversity", "0.25")
    both = of_cell("intra-table-1", "CIFAR-100, VGG-16", "out+mid+pull-push")
    assert both == of_cell("intra-table-3", "VGG-16", "out+mid+pull-push")
    # but the data, which are no part of the settings of a cell, tell these apart
    assert of_cell("cgl-table-2", "ResNet-18, CIFAR-10", "CGL") != cgl
    assert len(wanted_runs(table_called("cgl-figure-4"), small, seeds=2)) == 2 * 5
    other = dataclasses.replace(small, scale=SMALL.changed(epochs=41))
    assert other.key(table_called("cgl-table-2").cells[row, "CGL"]) != cgl


@pytest.mark.slow
def test_no_two_cells_of_a_table_are_the_same_run(small):
    """But for those where two measures are taken of one run, and plain networks that are trained for as long."""
    for table in tables().values():
        known = {}
        for cell in (cell for cell in table.runnable if AS_LONG not in cell.label):
            other = known.setdefault((small.key(cell), cell.measure), cell)
            assert other is cell, f"{table.id}: {cell.label} is {other.label}"


@pytest.mark.slow
def test_cells_of_equal_keys_have_equal_settings(small):
    """By these, results are looked for before keys are compared: defaults are written out everywhere, or nowhere."""
    alike = {}
    for table in tables().values():
        for cell in table.runnable:
            alike.setdefault(small.key(cell), set()).add(json.dumps(small.config(cell), sort_keys=True))
    # 12 of Table III, 9 of Table 2, whose methods cost as much, 1 of Tables 4, 5 and 6 each, 5, 7, 1 and 12 of
    # Figures 3 to 6, 30 of times, 10 of the regime and 13 of its methods are there already
    assert len(alike) == 412 - 12 - 9 - 3 - 5 - 7 - 1 - 12 - 30 - 10 - 13
    assert {len(settings) for settings in alike.values()} == {1}


def test_a_key_is_of_the_whole_configuration():
    config = {"recipe": "cgl", "model": "cifar_resnet18", "model_options": {"width": 16}, "data": "CIFAR-10"}
    whole = Settings.from_config(config | {"precision": "32-true"}).config()  # which no machine may decide
    telling = {
        name: value for name, value in whole.items() if name not in (*RESULT_STAYS, *ONE_PROCESS, "seed")
    }
    assert config_key(config) == hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()[:16]
    assert config_key(config) == config_key(config | {"devices": 1, "divide": "rows"})
    assert config_key(config) != config_key(config | {"devices": 2})
    assert config_key(config) == config_key(
        config | {"seed": 7, "baseline": False, "workers": 2, "accelerator": "cpu"}
    )
    assert config_key(config) == config_key(
        config | {"recipe": {"class_path": "cgl", "init_args": {"temperature": 1.0}}}
    )
    assert config_key(config) != config_key(
        config | {"recipe": {"class_path": "cgl", "init_args": {"temperature": 3.5}}}
    )


def test_keys_are_those_of_earlier_runs(full, monkeypatch):
    """What is trained is found again, whatever arguments recipes have got since; CGL's anew since peers are moved."""
    row = "ResNet-18, CIFAR-100"
    cgl = table_called("cgl-table-2").cells[row, "CGL"]
    assert full.key(cgl) == "cfbb7d4f4167c0e6"
    assert full.key(table_called("cgl-table-3").cells["Transformer, IMDB", "CGL"]) == "b357f6a7788d534f"
    assert full.key(table_called("intra-table-1").cells["CIFAR-100, VGG-16", "mid"]) == "ca7320353394a4f4"
    config = full.config(cgl)
    for structure, same in ((None, True), (0, False), (3, False)):
        own = merged(config, {"recipe": {"init_args": {"structure": structure}}})
        assert (config_key(own) == full.key(cgl)) is same
    # even if a parser wrote them out
    told = {"class_path": "a", "init_args": {"b": 1, "c": None, "d": {"e": None}}}
    monkeypatch.setattr("reproduction.lab._whole", lambda name, value: json.loads(value))
    monkeypatch.setattr("reproduction.lab._defaults", dict)
    assert config_key({"recipe": told}) == config_key(
        {"recipe": {"class_path": "a", "init_args": {"b": 1, "d": {}}}}
    )
    assert config_key({"recipe": told}) != config_key(
        {"recipe": {"class_path": "a", "init_args": {"b": 2, "d": {}}}}
    )


def test_places_of_data():
    assert parse_places(["cifar100=digits"]) == {"cifar100": "digits"}
    assert parse_places([f"imdb={Path(__file__).parent}"]) == {"imdb": str(Path(__file__).parent)}
    for wrong in ("cifar", "cifar10", "cifar10=", "cifer10=x"):
        with pytest.raises(ValueError, match="NAME=FOLDER"):
            parse_places([wrong])


def test_data_without_a_place_are_asked_for(tmp_path):
    cell = table_called("intra-table-2").cells["STL-10, VGG-16", "out"]
    with pytest.raises(ValueError, match="--data stl10=FOLDER"):
        Lab(run_dir=tmp_path).settings(cell, seed=0)


def test_data_from_another_place_are_refused(tmp_path):
    Lab(run_dir=tmp_path, data={"cifar10": "digits"}).with_saved_places()
    again = Lab(run_dir=tmp_path, data={"cifar100": "there"}).with_saved_places()
    assert (
        again.data == Lab(run_dir=tmp_path).with_places().data == {"cifar10": "digits", "cifar100": "there"}
    )
    again.folder("key", 0).write_config({})
    with pytest.raises(ValueError, match="cifar10 from digits, not from elsewhere"):
        Lab(run_dir=tmp_path, data={"cifar10": "elsewhere"}).with_places()


def test_settings_are_laid_over_others():
    sgd = {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}, "rate": "Constant"}
    assert merged(sgd, {"optimizer": {"init_args": {"lr": 0.2}}})["optimizer"]["init_args"] == {
        "lr": 0.2,
        "momentum": 0.9,
    }
    adam = {"class_path": "Adam", "init_args": {"lr": 1e-3}}
    assert merged(sgd, {"optimizer": adam})["optimizer"] == adam
    assert merged({"recipe": "baseline"}, {"recipe": adam})["recipe"] == adam
    later = merged({"recipe": {"init_args": {"students": 3}}}, {"recipe": {"class_path": "dml"}})
    assert later["recipe"] == {"init_args": {"students": 3}, "class_path": "dml"}
    assert sgd["optimizer"]["init_args"]["lr"] == 0.1
