"""The engine alone on an iteration's images: `python -m benchmarks.bare_engine IMAGES CLASSES N`.

Two processes, each pinned to a core, compute half of the images each, in the widest calls that
the engine has, and nothing else: nothing is added, sent, checked or stored. Prints the seconds of
N iterations as JSON: from the start of both until both are done.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cores import pin
from model.config import LARGEST_MICROBATCH, NetworkConfig
from model.parameters import initial

#: Processes, as workers in the runs beside it.
PROCESSES = 2


def main(images: str, classes: str, iterations: str) -> None:
    """Time so many iterations."""
    from benchmarks.train_data import load_images

    data = load_images(int(images), classes)
    network = NetworkConfig(class_count=len(classes.split(",")), microbatch_size=LARGEST_MICROBATCH)
    halves = np.array_split(np.arange(len(data.labels)), PROCESSES)
    with _engines(network, [(data.images[half], data.labels[half]) for half in halves]) as pipes:
        print(json.dumps([_iteration(pipes) for _ in range(int(iterations))]))


def _iteration(pipes: list[Connection]) -> float:
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    for pipe in pipes:
        pipe.recv()
    return time.perf_counter() - began


@contextmanager
def _engines(network: NetworkConfig, parts: list[Any]) -> Iterator[list[Connection]]:
    """Have a process for each part, compiled and warm."""
    context, pipes = multiprocessing.get_context("spawn"), []
    for place, part in enumerate(parts):
        ours, theirs = context.Pipe()
        arguments = theirs, place, network, *part
        context.Process(target=_serve, args=arguments, daemon=True).start()
        theirs.close()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    yield pipes
    for pipe in pipes:
        pipe.close()


def _serve(
    pipe: Connection,
    place: int,
    network: NetworkConfig,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
) -> None:
    """Compute all images whenever it is asked to, until the other end is closed."""
    from model.gradients import engine

    pin(multiprocessing.current_process().pid or 0, place)
    compute, parameters = engine(network), initial(network, seed=1)
    calls = range(0, len(labels), network.microbatch_size)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            for first in calls:
                rows = slice(first, first + network.microbatch_size)
                compute(parameters, images[rows], labels[rows])
            pipe.send("done")
            pipe.recv()


if __name__ == "__main__":
    main(*sys.argv[1:])
