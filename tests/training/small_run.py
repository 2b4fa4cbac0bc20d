import functools

from studygroup.training import Settings, methods


def small(**changes):
    """A run of a second: one thin network, few rows."""
    options = {
        "recipe": functools.partial(methods.cgl, students=3, layers=("layer1.0", "layer2.0")),
        "model_options": {"width": 4},
        "train_rows": 200,
        "test_rows": 60,
        "holdout": 40,
        "epochs": 3,
        "batch_size": 20,
        "accelerator": "cpu",
        "baseline": False,
    }
    return Settings(**(options | changes))
