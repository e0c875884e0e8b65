"""The frameworks' ways to train an example network, each built in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.example_problem import ExampleProblem

#: The forms of gradients that Tapeworks computes.
MICROBATCH, PER_IMAGE, SUMMED = "microbatch", "per-image", "summed"

OURS = (MICROBATCH, PER_IMAGE, SUMMED)


def build(problem: ExampleProblem, way: str) -> Callable[[], dict[str, Any]]:
    """Build a call that returns at least losses; each way loads its own framework alone."""
    if way in OURS:
        return _tapeworks(problem, way)
    if way.startswith("keras"):
        from benchmarks.peers import keras_networks

        return keras_networks.build(problem, way)
    from benchmarks.peers import torch_networks

    return torch_networks.build(problem, way)


def _tapeworks(problem: ExampleProblem, way: str) -> Callable[[], dict[str, Any]]:
    """A microbatch as a worker computes it: from NumPy arrays to NumPy arrays."""
    from tapeworks.model.engine.gradients import engine
    from tapeworks.model.networks.own.allowed import allow
    from tapeworks.model.networks.own.spec import Backward
    from tapeworks.model.networks.spec import GradientForm

    backward = Backward.MICROBATCH if way == MICROBATCH else Backward.VECTORIZED
    wanted = GradientForm.PER_IMAGE if way == PER_IMAGE else GradientForm.SUMMED
    compute = engine(problem.network(backward, allow(problem.source)))
    parameters, images, labels = problem.parameters, problem.images, problem.labels

    def call() -> dict[str, Any]:
        result = compute(parameters, images, labels, wanted)
        return result.gradients | result.values

    return call
