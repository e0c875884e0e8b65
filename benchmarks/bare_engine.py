"""The engine alone: `python -m benchmarks.bare_engine IMAGES CLASSES N FORM`.

Two processes, each pinned to a core, compute one half each of an iteration's microbatches: all
images in one call of the engine, which gives gradients in this form (per-image or summed), as it
does for a worker's shard. Nothing is added to them, sent, checked or stored. Prints the seconds of
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
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import initial
from tapeworks.scheduler.core.sharding import split

#: Processes, as workers in the runs beside it.
PROCESSES = 2


def main(images: str, classes: str, iterations: str, form: str) -> None:
    """Time so many iterations."""
    from benchmarks.train_data import config_of, load_images

    data = load_images(int(images), classes)
    network = config_of(int(images), classes).built_in
    shards = split(np.arange(len(data.labels)), network.microbatch_size, PROCESSES)
    parts = [(data.images[shard.images], data.labels[shard.images]) for shard in shards]
    with _engines(network, GradientForm(form), parts) as pipes:
        print(json.dumps([_iteration(pipes) for _ in range(int(iterations))]))


def _iteration(pipes: list[Connection]) -> float:
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    for pipe in pipes:
        pipe.recv()
    return time.perf_counter() - began


@contextmanager
def _engines(
    network: BuiltinNetwork, wanted: GradientForm, parts: list[Any]
) -> Iterator[list[Connection]]:
    """Have a process for each part, compiled and warm."""
    context, pipes = multiprocessing.get_context("spawn"), []
    for place, part in enumerate(parts):
        ours, theirs = context.Pipe()
        arguments = theirs, place, network, wanted, *part
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
    network: BuiltinNetwork,
    wanted: GradientForm,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
) -> None:
    """Compute all images whenever it is asked to, until the other end is closed."""
    from tapeworks.model.engine.gradients import engine

    pin(multiprocessing.current_process().pid or 0, place)
    compute, parameters = engine(network), initial(network, seed=1)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            compute(parameters, images, labels, wanted)
            pipe.send("done")
            pipe.recv()


if __name__ == "__main__":
    main(*sys.argv[1:])
