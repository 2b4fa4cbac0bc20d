"""A command line as typed."""

from studygroup.training.typed import without_settings


def test_settings_are_taken_out_of_a_command():
    given = (
        "compare --configs [a.yaml] --epochs 5 --optimizer.lr=0.01 --channels_last --recipe dml --seeds [0]"
    )
    words, found = without_settings(given.split(), {"epochs", "optimizer", "channels_last", "recipe", "seed"})
    assert words == ["compare", "--configs", "[a.yaml]", "--seeds", "[0]"]
    assert found == {"epochs": 5, "optimizer.lr": 0.01, "channels_last": True, "recipe": "dml"}
