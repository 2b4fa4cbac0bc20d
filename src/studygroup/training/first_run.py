"""The first run: what `studygroup train` trains where no setting is given."""

from pathlib import Path

import yaml

from studygroup.training.config import Config
from studygroup.training.settings import RESULT_STAYS, Settings

FIRST_RUN = Path(__file__).with_suffix(".yaml")
"""Its configuration, as `--config` takes it."""
OVER_SEEDS = "What many seeds gave stands in reproduction/RESULTS.md, under The first run."
"""What its run says of other seeds."""


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
