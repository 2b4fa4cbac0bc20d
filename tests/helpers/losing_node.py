"""A command with `--on ray` on a cluster of three nodes of this machine, one of which dies in the middle."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from helpers.dying_worker import WAITS

TESTS = Path(__file__).parents[1]


def with_a_node_lost(program: str, words: Sequence[str], folder: Path) -> list[int]:
    """Run a command of `studygroup` or `reproduction` in a process of its own: Ray leaves threads and sockets behind.

    Returns:
        How many training steps each process made, in the order of their beginnings.
    """
    steps, lost = folder / "steps", folder / "lost"
    paths = [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    said = {"STEPS": str(steps), "LOST": str(lost), "END": "0", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, __file__, program, *words],
        env=os.environ | said | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr
    assert lost.exists()
    lines = steps.read_text().split()
    return [lines.count(process) for process in dict.fromkeys(lines)]


def _lose(cluster, node, steps: Path) -> None:
    """Kill a node, without a word to it, once two processes wait; say so when one of them is gone."""
    while len(waiting := _waiting(steps)) < 2:
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)
    while all(Path(f"/proc/{process}").exists() for process in waiting):
        time.sleep(0.02)
    Path(os.environ["LOST"]).write_text("lost")


def _waiting(steps: Path) -> list[str]:
    lines = steps.read_text().split() if steps.exists() else []
    return [process for process in {*lines} if lines.count(process) == WAITS]


def _main(program: str, words: Sequence[str]) -> int:
    from ray.cluster_utils import Cluster

    from reproduction.command import main as reproduction
    from studygroup.cli import main as studygroup
    from studygroup.training import compare_configs

    def measure(*_: object, **__: object) -> None:
        raise AssertionError("the coordinator, which may have no GPU, measured the cost of a step")

    compare_configs.measure_step_cost = measure  # in this process alone, not in those of the cluster
    commands: Mapping[str, Callable[[Sequence[str]], int]] = {
        "studygroup": studygroup,
        "reproduction": reproduction,
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    steps = Path(os.environ["STEPS"])
    threading.Thread(target=_lose, args=(cluster, nodes[0], steps), daemon=True).start()
    hook = {"worker_process_setup_hook": "helpers.dying_worker.arm"}
    options = {"init": {"address": cluster.address, "runtime_env": hook}}
    try:
        return commands[program]([*words, "--on=ray", f"--cluster={json.dumps(options)}"])
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2:]))
