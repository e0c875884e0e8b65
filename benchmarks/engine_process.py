"""The engines that are measured, each built in a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Compute, Problem
from tapeworks.model.networks.builtin.spec import Unfolding

#: Libraries whose product of two large matrices shows what the machine can do.
PRODUCTS = ("NumPy", "TensorFlow")

#: Side of the square matrices whose product shows what the machine can do.
PRODUCT_SIDE = 1536


def build(engine: str, problem: Problem) -> Any:
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
