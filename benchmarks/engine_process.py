"""One engine in a process of its own, which computes whenever it is told to."""

from __future__ import annotations

import contextlib
import os
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.problem import Compute, Problem
from tapeworks.model.engine.runtime import keep_freed_memory
from tapeworks.model.networks.builtin.spec import Unfolding

#: Seconds that one answer to "measure" takes, about.
MEASURED_SECONDS = 0.4

#: Libraries whose product of two large matrices shows what the machine can do.
PRODUCTS = ("NumPy", "TensorFlow")

#: Side of the square matrices whose product shows what the machine can do.
PRODUCT_SIDE = 1536


def serve(connection: Connection, engine: str, problem: Problem, core: int | None) -> None:
    """Answer "gradients" and "measure" until the other end is closed."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    keep_freed_memory()  # as Tapeworks does; PyTorch gains by it too
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        compute = _build(engine, problem)
        compute()
        connection.send("ready")
        while True:
            question = connection.recv()
            connection.send(compute() if question == "gradients" else _calls_per_second(compute))


def _calls_per_second(compute: Compute) -> float:
    calls, began, now = 0, time.perf_counter(), time.perf_counter()
    while now < began + MEASURED_SECONDS:
        compute()
        calls, now = calls + 1, time.perf_counter()
    return calls / (now - began)


def _build(engine: str, problem: Problem) -> Any:
    """Each engine loads its framework here, and no other's."""
    if engine in PRODUCTS:
        return _product(engine)
    if engine == "seed":
        from benchmarks.peers import seed_peer

        return seed_peer.build(problem)
    if engine == "torch":
        from benchmarks.peers import torch_peer

        return torch_peer.build(problem)
    if engine.startswith("jax"):
        from benchmarks.peers import jax_peer

        convolve = jax_peer.slices if engine == "jax-slices" else jax_peer.convolution
        return jax_peer.build(problem, convolve)
    return _tapeworks(problem, Unfolding(engine))


def _product(library: str) -> Any:
    matrix = np.ones((PRODUCT_SIDE, PRODUCT_SIDE), np.float32)
    if library == "NumPy":
        return lambda: matrix @ matrix
    import tensorflow as tf  # with its own settings, not those of Tapeworks: oneDNN is faster

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tensor = tf.constant(matrix)
    return lambda: tf.matmul(tensor, tensor).numpy()


def _tapeworks(problem: Problem, unfolding: Unfolding) -> Compute:
    from tapeworks.model.engine.gradients import engine

    compute = engine(problem.network.model_copy(update={"unfolding": unfolding}))
    parameters, images, labels = problem.parameters, problem.images, problem.labels
    return lambda: compute(parameters, images, labels).gradients
