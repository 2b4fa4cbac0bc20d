import json

import pytest

from helpers.tunings import TUNE, chosen, space_of
from studygroup.training.tuning import trial
from studygroup.training.tuning.space import Space


@pytest.fixture
def pretend(monkeypatch):
    """Trainings that take no time: their accuracy is a function of the settings, which are not parsed again."""
    monkeypatch.setattr(
        TUNE, "read_space", lambda *both: space_of(json.dumps(both[0].config()), json.dumps(both[1]))
    )
    monkeypatch.setattr(Space, "settings", chosen)

    def use(function):
        def holdout_accuracy(settings, folder, pruning, *, progress_bar):
            return function(settings)

        monkeypatch.setattr(trial, "holdout_accuracy", holdout_accuracy)

    use(lambda settings: settings.optimizer.keywords["lr"])
    return use
