"""State dicts of earlier versions, renamed to this one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_OWN = ("supervised", "imitation", "ensemble")


def upgraded(state: Mapping[str, Any], objectives: Sequence[str]) -> Mapping[str, Any]:
    """Return a task's state dict with the keys of this version; a current one is returned as it is.

    In 0.1.0 a task held `listen`, the one rule, and `auxiliary`, the objectives beside labels and imitation; moving
    averages were one of those.

    Args:
        state: a state dict of any version since 0.1.0.
        objectives: names of the task's objectives, in their order.
    """
    if not any(key.startswith(("listen.", "auxiliary.")) for key in state):
        return state
    further = [place for place, name in enumerate(objectives) if name not in _OWN]

    def placed(key: re.Match[str]) -> str:
        number = int(key[1])
        return f"objectives.{further[number]}." if number < len(further) else key[0]

    def renamed(key: str) -> str:
        key = re.sub(r"^listen\.", "teachers.0.", key)
        key = re.sub(r"^auxiliary\.\d+\.averages\.", "sources.0.model.", key)
        key = re.sub(r"^auxiliary\.\d+\._extra_state$", "sources.0._extra_state", key)
        return re.sub(r"^auxiliary\.(\d+)\.", placed, key)

    return {renamed(key): value for key, value in state.items()}
