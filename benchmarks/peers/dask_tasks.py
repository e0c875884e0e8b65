"""Dask tasks that sleep: `python -m benchmarks.peers.dask_tasks WORKERS SECONDS EACH IMAGES N`.

Worker processes of one thread each under a scheduler in this process. Each iteration the
parameters are scattered to all workers, every worker is given EACH tasks, each of which waits so
many SECONDS and returns as much as a worker of Tapeworks does, with three numbers for each of its
IMAGES; all are gathered at once. The driver adds the sums and takes the next parameters; it
checks, stores and shows nothing. Prints the seconds of N iterations as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import dask
from distributed import Client, LocalCluster

from benchmarks.peers.shards import next_parameters, shard_answer
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial


def compute(parameters: Arrays, seconds: float, images: int) -> Arrays:
    """Return a shard's answer after so many seconds."""
    time.sleep(seconds)
    return shard_answer(parameters, images)


def main(workers: str, seconds: str, each: str, images: str, iterations: str) -> None:
    """Time so many iterations."""
    dask.config.set({"distributed.worker.memory.terminate": False})
    cluster = LocalCluster(
        n_workers=int(workers), threads_per_worker=1, dashboard_address=None, memory_limit=0
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(int(workers))
        places = list(client.scheduler_info(n_workers=-1)["workers"])
        parameters, found = initial(BuiltinNetwork(), seed=1), []
        for _ in range(int(iterations)):
            began = time.perf_counter()
            [future] = client.scatter([parameters], broadcast=True, hash=False)
            asked = [
                client.submit(
                    compute, future, float(seconds), int(images), workers=[place], pure=False
                )
                for _ in range(int(each))
                for place in places
            ]
            parameters = next_parameters(parameters, client.gather(asked), int(images))
            found.append(time.perf_counter() - began)
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
