"""PyTorch: `vmap(grad)` over the library's convolution, on one thread."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import grad, vmap
from torch.nn import functional

from benchmarks.problem import Compute, Problem, named


def build(problem: Problem) -> Compute:
    """For all the problem's images at once."""
    torch.set_num_threads(1)

    def loss(parameters: Any, maps: Any, truth: Any) -> Any:
        *convolutions, dense = parameters
        maps = maps[None, None]
        for filters in convolutions:
            activation = functional.relu(functional.conv2d(maps, filters[:, None]))
            maps = activation.sum(1, keepdim=True)
        p = torch.softmax((dense * activation).sum((1, 2, 3)), 0)
        return -(truth * torch.log(p) + (1 - truth) * torch.log(1 - p)).sum()

    gradients = vmap(grad(loss), (None, 0, 0))
    arrays = list(problem.parameters.values())
    pixels, truth = problem.pixels, problem.truth

    def compute() -> Any:
        parameters = [torch.from_numpy(array) for array in arrays]
        results = gradients(parameters, torch.from_numpy(pixels), torch.from_numpy(truth))
        return named(problem.network, results)

    return compute
