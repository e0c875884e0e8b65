"""A user's network's gradients, from compiled functions of as many images as a microbatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import Compute, EngineResult, Request
from tapeworks.model.engine.runtime import tf
from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.inputs import (
    as_targets,
    data_specs,
    parameter_specs,
    scale,
)
from tapeworks.model.networks.own.module import OwnModule, kept_alive, load_module
from tapeworks.model.networks.own.patches import use_patches
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import (
    GRADIENT_NORMS,
    LOSSES,
    PREDICTIONS,
    GradientForm,
)
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import gradients_as_wanted

#: What stands before a parameter's name, which may be that of a value.
_KEY = "gradient of "

_VALUES = (LOSSES, GRADIENT_NORMS, PREDICTIONS)

#: Gradients and values by name, as tensors.
Tensors = dict[str, Any]


def computation(network: OwnNetwork) -> Compute:
    """The computation of a network, compiled when it is called. Raises `NetworkNotAllowed`."""
    functions = Functions(network, load_module(network.source_digest))

    def compute(request: Request) -> EngineResult:
        arrays = [tf.constant(request.parameters[name]) for name in network.shapes]
        size = network.microbatch_size
        microbatches = (
            (request.images[first : first + size], request.labels[first : first + size])
            for first in range(0, len(request.images), size)
        )
        return _join([functions.compute(*one, arrays, request.wanted) for one in microbatches])

    return compute


def _join(results: list[EngineResult]) -> EngineResult:
    if len(results) == 1:
        return results[0]
    first = results[0]
    return EngineResult(
        gradients=_join_arrays([one.gradients for one in results], first.gradients),
        values=_join_arrays([one.values for one in results], first.values),
    )


def _join_arrays(parts: list[Arrays], names: Iterable[str]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


class Functions:
    """The compiled functions of one network; each is compiled when it is first called."""

    def __init__(self, network: OwnNetwork, module: OwnModule) -> None:
        self._network, self._module = network, module
        self._options = dict(network.options)
        self._compiled: dict[str, Any] = {}

    def compute(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any], wanted: GradientForm
    ) -> EngineResult:
        """Compute a microbatch, or the images that are left for the last one."""
        size = self._network.microbatch_size
        if wanted is GradientForm.NOTHING:
            return self._run(self._measure, size, images, labels, arrays)
        if self._network.backward is not Backward.MICROBATCH:
            return self._compute_apart(images, labels, arrays, wanted)
        result = self._run(self._sum_gradients, size, images, labels, arrays)
        sums = {
            name: gradient[np.newaxis].astype(np.float64)
            for name, gradient in result.gradients.items()
        }
        return EngineResult(gradients=sums, values=result.values)

    def logits(self, images: NDArray[Any], arrays: list[Any]) -> NDArray[np.float32]:
        """(images, classes) of a microbatch, or of fewer images."""
        network = self._network
        labels = np.zeros((len(images), *network.label_shape), network.label_kind.value)
        result = self._run(self._find_logits, network.microbatch_size, images, labels, arrays)
        return result.values[PREDICTIONS]

    def _compute_apart(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any], wanted: GradientForm
    ) -> EngineResult:
        """Compute every image's gradient, of as many images at once as fit into memory."""
        size = self._network.images_at_once
        parts = (slice(first, first + size) for first in range(0, len(images), size))
        result = _join(
            [
                self._run(self._image_gradients, size, images[part], labels[part], arrays)
                for part in parts
            ]
        )
        apart = {name: array[: len(images)] for name, array in result.gradients.items()}
        gradients = gradients_as_wanted(apart, wanted, self._network.microbatch_size)
        return EngineResult(gradients=gradients, values=result.values)

    # Calls

    def _run(
        self,
        function: Callable[..., Tensors],
        size: int,
        images: NDArray[Any],
        labels: NDArray[Any],
        arrays: list[Any],
    ) -> EngineResult:
        """Call a compiled function of `size` images with fewer of them, or as many."""
        count = len(images)
        if count < size:  # some of them once more: what they give is finite, and is left out
            again = np.arange(size) % count
            images, labels = images[again], labels[again]
        if function.__name__ not in self._compiled:
            self._compiled[function.__name__] = self._compile(function, size)
        targets = as_targets(self._network, labels)
        tensors = self._compiled[function.__name__](
            tf.constant(images), tf.constant(targets), tf.constant(count), *arrays
        )
        found = {name: _as_array(tensor) for name, tensor in tensors.items()}
        values = {name: found.pop(name)[:count] for name in _VALUES if name in found}
        gradients = {name: found[_KEY + name] for name in self._network.shapes if found}
        return EngineResult(gradients=gradients, values=values)

    def _compile(self, function: Callable[..., Tensors], size: int) -> Any:
        use_patches()
        members = tf.TensorSpec((), tf.int32)
        inputs = [*data_specs(self._network, size), members, *parameter_specs(self._network)]
        with kept_alive():
            return tf.function(function, autograph=False).get_concrete_function(*inputs)

    # What is compiled: functions of images, labels, the number of images that count, and parameters

    def _find_logits(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Tensors:  # noqa: ARG002
        if self._module.logits is None:
            raise NetworkError("Expected a network that has logits. Received: one without.")
        pixels = scale(self._network, images)
        return {PREDICTIONS: self._module.logits(self._name(arrays), pixels, **self._options)}

    def _measure(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Tensors:  # noqa: ARG002
        pixels, named = scale(self._network, images), self._name(arrays)
        values = {LOSSES: self._module.losses(named, pixels, labels, **self._options)}
        if self._module.logits is not None:
            logits = self._module.logits(named, pixels, **self._options)
            values[PREDICTIONS] = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return values

    def _sum_gradients(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Tensors:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(arrays)
            values = self._measure(images, labels, members, *arrays)
            counted = tf.range(self._network.microbatch_size) < members
            total = tf.reduce_sum(tf.where(counted, values[LOSSES], 0.0))
        return values | self._keep(tape.gradient(total, arrays), arrays)

    def _image_gradients(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Tensors:
        def compute(inputs: tuple[Any, Any]) -> Tensors:
            image, label = inputs[0][tf.newaxis], inputs[1][tf.newaxis]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(arrays)
                measured = self._measure(image, label, members, *arrays)
            gradients = self._keep(tape.gradient(measured[LOSSES], arrays), arrays)
            return {name: value[0] for name, value in measured.items()} | gradients

        found = self._map(compute, (images, labels))
        of_arrays = [_find_norms(found[_KEY + name]) for name in self._network.shapes]
        return found | {GRADIENT_NORMS: _find_norms(tf.stack(of_arrays, axis=1))}

    def _map(self, compute: Callable[..., Tensors], inputs: tuple[Any, Any]) -> Tensors:
        if self._network.backward is Backward.VECTORIZED:
            return tf.vectorized_map(compute, inputs, fallback_to_while_loop=False)  # type: ignore[no-any-return]
        kinds = {_KEY + name: tf.float32 for name in self._network.shapes}
        kinds |= {LOSSES: tf.float32}
        if self._module.logits is not None:
            kinds |= {PREDICTIONS: tf.int32}
        return tf.map_fn(compute, inputs, fn_output_signature=kinds, parallel_iterations=1)  # type: ignore[no-any-return]

    def _name(self, arrays: Iterable[Any]) -> Tensors:
        return dict(zip(self._network.shapes, arrays, strict=True))

    def _keep(self, gradients: Iterable[Any], arrays: Iterable[Any]) -> Tensors:
        """Name gradients; those of a look-up are slices, those of what is not used are none."""
        return {
            _KEY + name: tf.zeros_like(array) if one is None else tf.convert_to_tensor(one)
            for name, one, array in zip(self._network.shapes, gradients, arrays, strict=True)
        }


def _find_norms(arrays: Any) -> Any:
    """(n,) Euclidean norms of (n, …), without an array of squares: memory is what they cost."""
    return tf.math.reduce_euclidean_norm(tf.reshape(arrays, (arrays.shape[0], -1)), axis=1)


def _as_array(tensor: Any) -> NDArray[Any]:
    """A tensor's numbers, read-only and not copied."""
    return np.frombuffer(memoryview(tensor), tensor.dtype.as_numpy_dtype).reshape(tensor.shape)
