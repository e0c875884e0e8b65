"""A user's network's gradients, from one compiled function of a whole microbatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import Compute, EngineResult, Request
from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.module import OwnModule, load_module
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import (
    GRADIENT_NORMS,
    LOSSES,
    PREDICTIONS,
    ArrayKind,
    GradientForm,
)
from tapeworks.model.parameters import Arrays
from tapeworks.model.reduction import gradients_as_wanted

#: The grey level that becomes 1.
WHITE = 255


def computation(network: OwnNetwork) -> Compute:
    """The compiled computation of a network. Raises `NetworkNotAllowed`."""
    functions = Functions(network, load_module(network.source_digest))

    def compute(request: Request) -> EngineResult:
        arrays = [tf.constant(request.parameters[name]) for name in network.shapes]
        size = network.microbatch_size
        return _join(
            [
                functions.compute(
                    request.images[first : first + size],
                    request.labels[first : first + size],
                    arrays,
                    request.wanted,
                )
                for first in range(0, len(request.images), size)
            ]
        )

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
    """The compiled functions of one network."""

    def __init__(self, network: OwnNetwork, module: OwnModule) -> None:
        self._network, self._module = network, module
        self._options = dict(network.options)
        self._compiled: dict[Callable[..., Any], Any] = {}

    def compute(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any], wanted: GradientForm
    ) -> EngineResult:
        """Compute a microbatch, or the images that are left for the last one."""
        if wanted is GradientForm.NOTHING:
            return self._forward(images, labels, arrays)
        if self._network.backward is Backward.MICROBATCH:
            return self._of_sum(images, labels, arrays)
        return self._apart(images, labels, arrays, wanted)

    def logits(self, images: NDArray[Any], arrays: list[Any]) -> NDArray[np.float32]:
        """(images, classes) of a microbatch, or of fewer images."""
        labels = np.zeros((len(images), *self._network.label_shape), self._network.label_kind.value)
        found: NDArray[np.float32] = self._run(self._logits, images, labels, arrays).numpy()
        return found[: len(images)]

    def _forward(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any]
    ) -> EngineResult:
        losses, predictions = self._run(self._losses, images, labels, arrays)
        return self._result({}, losses, None, predictions, len(images))

    def _of_sum(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any]
    ) -> EngineResult:
        gradients, losses, predictions = self._run(self._sum_gradients, images, labels, arrays)
        named = {
            name: gradient.numpy()[np.newaxis].astype(np.float64)
            for name, gradient in zip(self._network.shapes, gradients, strict=True)
        }
        return self._result(named, losses, None, predictions, len(images))

    def _apart(
        self, images: NDArray[Any], labels: NDArray[Any], arrays: list[Any], wanted: GradientForm
    ) -> EngineResult:
        gradients, norms, losses, predictions = self._run(
            self._image_gradients, images, labels, arrays
        )
        count = len(images)
        named: Arrays = {
            name: gradient.numpy()[:count]
            for name, gradient in zip(self._network.shapes, gradients, strict=True)
        }
        sums = gradients_as_wanted(named, wanted, self._network.microbatch_size)
        return self._result(sums, losses, norms, predictions, count)

    def _result(
        self, gradients: Arrays, losses: Any, norms: Any, predictions: Any, count: int
    ) -> EngineResult:
        found = {LOSSES: losses, GRADIENT_NORMS: norms, PREDICTIONS: predictions}
        if self._module.logits is None:
            del found[PREDICTIONS]
        values = {name: one.numpy()[:count] for name, one in found.items() if one is not None}
        return EngineResult(gradients=gradients, values=values)

    # Calls

    def _run(
        self,
        function: Callable[..., Any],
        images: NDArray[Any],
        labels: NDArray[Any],
        arrays: list[Any],
    ) -> Any:
        size, count = self._network.microbatch_size, len(images)
        if count < size:  # real images once more: what they give is finite, and is left out
            again = np.arange(size) % count
            images, labels = images[again], labels[again]
        compiled = self._compiled.get(function)
        if compiled is None:
            compiled = self._compiled[function] = self._compile(function)
        return compiled(
            tf.constant(images), tf.constant(self._targets(labels)), tf.constant(count), *arrays
        )

    def _targets(self, labels: NDArray[Any]) -> NDArray[Any]:
        is_class = self._network.label_kind is ArrayKind.BYTES
        return labels.astype(np.int32 if is_class else np.float32)

    def _compile(self, function: Callable[..., Any]) -> Any:
        network, size = self._network, self._network.microbatch_size
        label = tf.int32 if network.label_kind is ArrayKind.BYTES else tf.float32
        inputs = [
            tf.TensorSpec((size, *network.image_shape), network.image_kind.value),
            tf.TensorSpec((size, *network.label_shape), label),
            tf.TensorSpec((), tf.int32),
            *(tf.TensorSpec(shape) for shape in network.shapes.values()),
        ]
        return tf.function(function, autograph=False).get_concrete_function(*inputs)

    # What is compiled: of images, labels, the number of images that count, the parameters' arrays

    def _logits(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Any:  # noqa: ARG002
        return self._module.logits(self._named(arrays), self._scaled(images), **self._options)  # type: ignore[misc]

    def _losses(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Any:  # noqa: ARG002
        pixels = self._scaled(images)
        losses = self._module.losses(self._named(arrays), pixels, labels, **self._options)
        return losses, self._predictions(pixels, arrays)

    def _sum_gradients(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(arrays)
            losses, predictions = self._losses(images, labels, members, *arrays)
            counted = tf.range(self._network.microbatch_size) < members
            total = tf.reduce_sum(tf.where(counted, losses, tf.zeros_like(losses)))
        return _dense(tape.gradient(total, arrays), arrays), losses, predictions

    def _image_gradients(self, images: Any, labels: Any, members: Any, *arrays: Any) -> Any:  # noqa: ARG002
        def of_image(inputs: tuple[Any, Any]) -> Any:
            image, label = inputs
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(arrays)
                losses, predictions = self._losses(image[tf.newaxis], label[tf.newaxis], 1, *arrays)
            gradients = _dense(tape.gradient(losses, arrays), arrays)
            norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(one)) for one in gradients]))
            return gradients, norm, losses[0], predictions[0]

        if self._network.backward is Backward.VECTORIZED:
            return tf.vectorized_map(of_image, (images, labels), fallback_to_while_loop=False)
        kinds = [tf.float32 for _ in arrays], tf.float32, tf.float32, tf.int32
        return tf.map_fn(
            of_image, (images, labels), fn_output_signature=kinds, parallel_iterations=1
        )

    def _named(self, arrays: Any) -> dict[str, Any]:
        return dict(zip(self._network.shapes, arrays, strict=True))

    def _scaled(self, images: Any) -> Any:
        if self._network.image_kind is ArrayKind.FLOATS:
            return images
        return tf.cast(images, tf.float32) / tf.constant(WHITE, tf.float32)

    def _predictions(self, pixels: Any, arrays: Any) -> Any:
        if self._module.logits is None:
            return tf.zeros(len(pixels), tf.int32)
        logits = self._module.logits(self._named(arrays), pixels, **self._options)
        return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _dense(gradients: Any, arrays: Any) -> list[Any]:
    """Gradients as tensors: a look-up's are slices, and those of what is not used are none."""
    return [
        tf.zeros_like(array) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, array in zip(gradients, arrays, strict=True)
    ]
