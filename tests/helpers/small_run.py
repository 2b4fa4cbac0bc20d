import functools

from studygroup.training import Settings, methods, train
from studygroup.training.checkpoints import saved


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


def whole_and_resumed(settings, folder):
    """A run that was never stopped, and one that lost its last epoch and went on."""
    whole = train(settings, run_dir=folder / "whole", progress_bar=False)
    cut = train(settings, run_dir=folder / "cut", progress_bar=False)
    cut.folder.summary.unlink()
    saved(cut.folder.checkpoints)[0].unlink()
    return whole, train(settings, run_dir=cut.folder.path, resume=True, progress_bar=False)
