"""Ways of making runs: on this machine in one process or several, or spread over a cluster by one coordinator."""

from collections.abc import Callable, Mapping

from reproduction.spread.here import here
from reproduction.spread.ray import on_ray
from reproduction.spread.slurm import on_slurm

WAYS: Mapping[str, Callable[..., None]] = {"here": here, "slurm": on_slurm, "ray": on_ray}
"""What makes runs, by the names that `--on` takes; each is called with table, lab, runs, `jobs` and `cluster`."""

__all__ = ["WAYS", "here", "on_ray", "on_slurm"]
