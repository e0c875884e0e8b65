"""JAX: `jit(vmap(grad))`, with the library's convolution or with shifted slices."""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from benchmarks.problem import Compute, Problem, named


def convolution(maps: Any, filters: Any) -> Any:
    """(side, side) maps by (filters, k, k), with the library's own convolution."""
    return lax.conv_general_dilated(maps[None, None], filters[:, None], (1, 1), "VALID")[0]


def slices(maps: Any, filters: Any) -> Any:
    """The same as a sum of shifted slices."""
    size = filters.shape[1]
    side = maps.shape[0] - size + 1
    return sum(
        filters[:, row, column, None, None] * maps[None, row : row + side, column : column + side]
        for row in range(size)
        for column in range(size)
    )


def build(problem: Problem, convolve: Any) -> Compute:
    """Compiled for all the problem's images at once."""

    def loss(parameters: Any, maps: Any, truth: Any) -> Any:
        *convolutions, dense = parameters
        for filters in convolutions:
            activation = jnp.maximum(convolve(maps, filters), 0.0)
            maps = activation.sum(0)
        p = jax.nn.softmax((dense * activation).sum((1, 2, 3)))
        return -(truth * jnp.log(p) + (1 - truth) * jnp.log(1 - p)).sum()

    gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))
    parameters = list(problem.parameters.values())
    pixels, truth = problem.pixels, problem.truth
    return lambda: named(problem.network, gradients(parameters, pixels, truth))
