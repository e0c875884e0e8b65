"""PyTorch: the examples' networks as modules, trained, and with every image's gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from benchmarks.example_problem import CLASSES, LEARNING_RATE, ExampleProblem

GROUPS, EPSILON = 8, 1e-5

Call = Callable[[], dict[str, Any]]


def build(problem: ExampleProblem, way: str) -> Call:
    """A call of one of the ways to train, or to compute every image's gradient."""
    torch.set_num_threads(1)
    module: Any = {"lenet": Lenet, "resnet": Resnet}[problem.name]()
    module.load_state_dict(dict(_as_state(problem)))
    pixels = torch.from_numpy(np.ascontiguousarray(problem.pixels.transpose(0, 3, 1, 2)))
    labels = torch.from_numpy(problem.labels.astype(np.int64))
    if way == "opacus":
        return _opacus(module, pixels, labels)
    if way.startswith("vmap"):
        return _vmap(module, pixels, labels, is_compiled=way == "vmap-compiled")
    return _train(module, pixels, labels, is_compiled=way == "torch-compiled")


def _as_state(problem: ExampleProblem) -> Iterable[tuple[str, Any]]:
    """The problem's arrays under PyTorch's names, in its order of dimensions."""
    for name, array in problem.parameters.items():
        for ending, kind in (("_bias", "bias"), ("_scale", "weight"), ("_shift", "bias")):
            if name.endswith(ending):
                layer = name.removesuffix(ending)
                norm = "" if ending == "_bias" else "_norm"
                yield f"{layer}{norm}.{kind}", torch.from_numpy(array.copy())
                break
        else:
            filters = {4: (3, 2, 0, 1), 2: (1, 0)}[array.ndim]
            given = array.transpose(filters)
            if name == "dense_1":  # of maps that lie (channels, rows, columns)
                given = given.reshape(120, 5, 5, 16).transpose(0, 3, 1, 2).reshape(120, 400)
            yield f"{name}.weight", torch.from_numpy(np.ascontiguousarray(given))


class Lenet(nn.Module):  # type: ignore[misc]
    """`examples/lenet.py`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.dense_1, self.dense_2 = nn.Linear(400, 120), nn.Linear(120, 84)
        self.dense_3 = nn.Linear(84, CLASSES)

    def forward(self, pixels: Any) -> Any:
        maps = functional.max_pool2d(functional.relu(self.conv_1(pixels)), 2)
        maps = functional.max_pool2d(functional.relu(self.conv_2(maps)), 2)
        values = functional.relu(self.dense_1(maps.flatten(1)))
        return self.dense_3(functional.relu(self.dense_2(values)))


class Resnet(nn.Module):  # type: ignore[misc]
    """`examples/resnet.py`."""

    def __init__(self) -> None:
        super().__init__()
        self._add("stem", 3, 16)
        below = 16
        for stage, filters in enumerate((16, 32, 64)):
            strides = 2 if stage else 1
            self._add(f"first_{stage}", below, filters, strides)
            self._add(f"second_{stage}", filters, filters)
            if stage:
                shortcut = nn.Conv2d(below, filters, 1, strides, bias=False)
                self.add_module(f"shortcut_{stage}", shortcut)
            below = filters
        self.dense = nn.Linear(below, CLASSES)

    def _add(self, name: str, below: int, filters: int, strides: int = 1) -> None:
        padding = 1 if strides == 1 else 0
        layer = nn.Conv2d(below, filters, 3, strides, padding, bias=False)
        self.add_module(name, layer)
        self.add_module(f"{name}_norm", nn.GroupNorm(GROUPS, filters, EPSILON))

    def forward(self, pixels: Any) -> Any:
        maps = functional.relu(self._convolve("stem", pixels))
        for stage in range(3):
            change = functional.relu(self._convolve(f"first_{stage}", maps))
            if stage:
                maps = getattr(self, f"shortcut_{stage}")(maps)
            maps = functional.relu(maps + self._convolve(f"second_{stage}", change))
        return self.dense(maps.mean((2, 3)))

    def _convolve(self, name: str, maps: Any) -> Any:
        layer = getattr(self, name)
        if layer.stride == (2, 2):  # TensorFlow has the zeros of an odd margin behind
            maps = functional.pad(maps, (0, 1, 0, 1))
        return getattr(self, f"{name}_norm")(layer(maps))


def _train(module: Any, pixels: Any, labels: Any, *, is_compiled: bool) -> Call:
    """One update by gradient descent, as PyTorch's users write it."""
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE)
    forward = torch.compile(module) if is_compiled else module

    def call() -> dict[str, Any]:
        optimizer.zero_grad()
        loss = functional.cross_entropy(forward(pixels), labels)
        loss.backward()
        optimizer.step()
        return {"losses": np.asarray(loss.item())}

    return call


def _vmap(module: Any, pixels: Any, labels: Any, *, is_compiled: bool) -> Call:
    parameters = {name: one.detach() for name, one in module.named_parameters()}

    def loss(parameters: Any, image: Any, label: Any) -> Any:
        logits = functional_call(module, parameters, (image.unsqueeze(0),))
        return functional.cross_entropy(logits, label.unsqueeze(0)), logits[0]

    compute = vmap(grad_and_value(loss, has_aux=True), in_dims=(None, 0, 0))
    if is_compiled:
        compute = torch.compile(compute)

    def call() -> dict[str, Any]:
        gradients, (losses, logits) = compute(parameters, pixels, labels)
        found = {"losses": losses, "gradient_norms": _norms(gradients.values())}
        found |= {"predictions": logits.argmax(1)} | gradients
        return {name: tensor.detach().numpy() for name, tensor in found.items()}

    return call


def _opacus(module: Any, pixels: Any, labels: Any) -> Call:
    warnings.simplefilter("ignore")  # of hooks, at every call
    from opacus import GradSampleModule

    wrapped = GradSampleModule(module, loss_reduction="sum")

    def call() -> dict[str, Any]:
        logits = wrapped(pixels)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        losses.sum().backward()
        gradients = {name: one.grad_sample for name, one in wrapped.named_parameters()}
        wrapped.zero_grad()
        for one in wrapped.parameters():
            one.grad_sample = None
        found = {"losses": losses, "gradient_norms": _norms(gradients.values())}
        found |= {"predictions": logits.argmax(1)} | gradients
        return {name: tensor.detach().numpy() for name, tensor in found.items()}

    return call


def _norms(gradients: Iterable[Any]) -> Any:
    return torch.sqrt(sum(one.flatten(1).square().sum(1) for one in gradients))
