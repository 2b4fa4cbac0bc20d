"""A call of `reproduction run --on ray` on a cluster of three nodes of this machine, one of which dies."""

import os
import sys
import threading
import time
from pathlib import Path

from ray.cluster_utils import Cluster
from small_papers import papers


def lose(cluster: Cluster, node, steps: Path) -> None:
    """Kill a node, without a word to it, once both workers train."""
    while not steps.exists() or len(set(steps.read_text().split())) < 2:
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)
    Path(os.environ["LOST"]).write_text("lost")


def main(folder: str) -> int:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    steps = Path(os.environ["STEPS"])
    threading.Thread(target=lose, args=(cluster, nodes[0], steps), daemon=True).start()
    init = f'{{"address": "{cluster.address}", "runtime_env": {{"worker_process_setup_hook": "dying_worker.arm"}}}}'
    try:
        return papers(
            "run", Path(folder), "--data=cifar10=digits", "--on=ray", f'--cluster={{"init": {init}}}'
        )
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
