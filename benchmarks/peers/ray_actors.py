"""Ray actors that sleep: `python -m benchmarks.peers.ray_actors WORKERS SECONDS EACH IMAGES N`.

A parameter server as in Ray's own example: each iteration the parameters are put once into the
object store; every actor is called EACH times with the reference, waits so many SECONDS, and
returns the float64 sum of a shard's gradients with three numbers for each of its IMAGES, as a
worker of Tapeworks does. The driver adds the sums and takes the next parameters; it checks, stores
and shows nothing. Prints the seconds of N iterations as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import ray

from benchmarks.peers.shards import next_parameters, shard_answer
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial

#: Bytes of the object store: the smallest that Ray accepts would do.
STORE_BYTES = 256 * 2**20


@ray.remote(num_cpus=0)  # more of them than cores
class Worker:
    """Answers as a worker does."""

    def compute(self, parameters: Arrays, seconds: float, images: int) -> Arrays:
        """Return a shard's answer after so many seconds."""
        time.sleep(seconds)
        return shard_answer(parameters, images)


def main(workers: str, seconds: str, each: str, images: str, iterations: str) -> None:
    """Time so many iterations."""
    with tempfile.TemporaryDirectory(prefix="ray-") as place:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=place,
        )
        try:
            found = time_iterations(
                int(workers), float(seconds), int(each), int(images), int(iterations)
            )
        finally:
            ray.shutdown()
    print(json.dumps(found))


def time_iterations(
    workers: int, seconds: float, each: int, images: int, iterations: int
) -> list[float]:
    """Seconds of each iteration."""
    actors: Any = Worker
    fleet = [actors.remote() for _ in range(workers)]
    parameters, found = initial(BuiltinNetwork(), seed=1), []
    for _ in range(iterations):
        began = time.perf_counter()
        reference = ray.put(parameters)
        asked = [
            actor.compute.remote(reference, seconds, images) for _ in range(each) for actor in fleet
        ]
        parameters = next_parameters(parameters, ray.get(asked), images)
        found.append(time.perf_counter() - began)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
