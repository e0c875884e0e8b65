"""The seed's own program, one fully unfolded image at a time; unfolding them is not measured."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.problem import Compute, Problem, named
from benchmarks.seed_program import prep_inp, step_function


def build(problem: Problem) -> Compute:
    """For the default network only."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    one_step = step_function(*map(tf.Variable, problem.parameters.values()))
    unfolded = [prep_inp(tf.constant(image)) for image in problem.pixels]
    truth = [tf.constant(row) for row in problem.truth]

    def compute() -> dict[str, np.ndarray]:
        rows = [one_step(*pair)[:-1] for pair in zip(unfolded, truth, strict=True)]
        return named(problem.network, (np.stack(arrays) for arrays in zip(*rows, strict=True)))

    return compute
