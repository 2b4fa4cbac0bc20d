"""The first run: what `studygroup train` trains where no setting is given."""

from pathlib import Path

import yaml

from studygroup.training.config import Config
from studygroup.training.settings import RESULT_STAYS, Settings

FIRST_RUN = Path(__file__).with_suffix(".yaml")
"""Its configuration, as `--config` takes it."""
OVER_SEEDS = (
    "Over 16 seeds the student that ships was 2.15 points above the plain network beside it "
    "(95 % interval 1.11 to 3.19): reproduction/RESULTS.md, The first run."
)
"""What many seeds of it gave, in points of accuracy on the test rows."""


def first_run() -> Settings:
    """Return the settings of the first run."""
    return Settings.from_config(yaml.safe_load(FIRST_RUN.read_text()))


def is_first_run(config: Config) -> bool:
    """Tell whether a whole configuration is the first run's, with whatever seed.

    Args:
        config: as `Settings.config` gives it.
    """
    free = ("seed", *RESULT_STAYS)
    first = first_run().config()
    return all(config.get(name) == value for name, value in first.items() if name not in free)
