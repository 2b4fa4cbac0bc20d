"""What is said where a group and its students part."""

from studygroup._engine.routed import ForwardState


class PartingError(ValueError):
    """The group answers otherwise than a student alone, on rows for which that could be told."""


def parted(student: int, place: str, state: ForwardState) -> str:
    """Say that a student alone parts at a place such as `"after layer 'body'"`, and why as far as the pass shows."""
    if state.changed:
        return (
            f"layer {state.changed[0]!r} changes its input in place, and the network reads that input again: the "
            f"group and student {student} alone part {place}. Build it with inplace=False, or name the enclosing "
            "block"
        )
    if state.entered_alone:
        return (
            f"the group and student {student} alone part {place}: layer {state.entered_alone[0].name!r} was given "
            "as many rows as entered, although students have parted since. Take the number of rows from the tensor "
            "that the layer before returned, or name the enclosing block"
        )
    return (
        f"the group and student {student} alone answer otherwise on the same rows: they part {place}. What stands "
        "between mixes rows, or takes the number of rows from the input; use the number of rows of the tensor "
        "itself, declare inputs that are (or are not) rows with rows=... and shared=..., or name the enclosing block"
    )


def stopped(state: ForwardState, error: Exception) -> PartingError:
    """Return the error of a pass, as far as it went, that the group cannot make and a student alone can."""
    last = next(reversed(state.reached), "")
    after = f"after layer {last!r}" if last else "at the beginning"
    rows = f"{len(state.rows)} rows are in flight, and {len(state.layout.entry)} entered"
    entered = (
        f": layer {state.entered_alone[0].name!r} was given as many as entered" if state.entered_alone else ""
    )
    return PartingError(
        f"the group cannot take rows that a student alone can, {after}: {type(error).__name__}: {error}. {rows}"
        f"{entered}. Use the number of rows of the tensor itself, declare inputs that are (or are not) rows with "
        "rows=... and shared=..., or name the enclosing block"
    )
