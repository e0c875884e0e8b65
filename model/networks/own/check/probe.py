"""A user's functions, traced apart from the engine so that each mistake shows where it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.mistakes import refuse_errors
from tapeworks.model.networks.own.check.operations import refuse_operations, refuse_variables
from tapeworks.model.networks.own.inputs import (
    as_targets,
    data_specs,
    parameter_specs,
    scale,
)
from tapeworks.model.networks.own.module import LOGITS, LOSSES, OwnModule, module_file
from tapeworks.model.networks.own.spec import OwnNetwork
from tapeworks.model.parameters import Arrays

#: Numbers of channels that pictures have.
CHANNELS = {1, 3, 4}

#: The name of a gradient among what a probe gives.
GRADIENT_OF = "gradient of "


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Probe:
    """Traces the functions of one network for so many images at once."""

    network: OwnNetwork
    module: OwnModule
    size: int

    def trace(self, *, with_gradients: bool) -> Any:
        """A concrete function of images, labels and arrays. Raises `Refusal`.

        It gives losses, or with gradients these, the parameters' gradients and logits, by name.
        """
        network = self.network
        inputs = [*data_specs(network, self.size), *parameter_specs(network)]
        compute = self._all if with_gradients else self._losses
        try:
            with refuse_errors(self._file):
                return tf.function(compute, autograph=False).get_concrete_function(*inputs)
        except Refusal as refusal:
            if refusal.__cause__ is None:
                raise
            hint = hint_at_channels(network.input_shape)
            raise Refusal(refusal.problem + hint, refusal.line) from refusal

    def run(
        self, traced: Any, images: NDArray[Any], labels: NDArray[Any], parameters: Arrays
    ) -> Arrays:
        """Values by name of as many images as were traced. Raises `Refusal`."""
        targets = as_targets(self.network, labels)
        arrays = [tf.constant(parameters[name]) for name in self.network.shapes]
        with refuse_errors(self._file):
            found = traced(tf.constant(images), tf.constant(targets), *arrays)
            return {name: value.numpy() for name, value in found.items()}

    @property
    def _file(self) -> str:
        return module_file(self.network.source_digest)

    def _losses(self, images: Any, labels: Any, *arrays: Any) -> dict[str, Any]:
        return {LOSSES: self._call(LOSSES, self.module.losses, images, arrays, labels)}

    def _all(self, images: Any, labels: Any, *arrays: Any) -> dict[str, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(arrays)
            found = self._losses(images, labels, *arrays)
        gradients = tape.gradient(found[LOSSES], arrays)
        named = dict(zip(self.network.shapes, gradients, strict=True))
        if missing := [name for name, gradient in named.items() if gradient is None]:
            raise Refusal(
                "Expected every parameter to have a gradient. "
                f"Received: none for {', '.join(missing[:5])}; use it in losses, or leave it out."
            )
        found |= {GRADIENT_OF + name: tf.convert_to_tensor(one) for name, one in named.items()}
        if self.module.logits is not None:
            found[LOGITS] = self._call(LOGITS, self.module.logits, images, arrays)
        return found

    def _call(
        self, name: str, function: Callable[..., Any], images: Any, arrays: Any, *labels: Any
    ) -> Any:
        graph = tf.compat.v1.get_default_graph()
        graph.seed = 0  # a random operation without one is refused by name, not by TensorFlow
        named = dict(zip(self.network.shapes, arrays, strict=True))
        with refuse_variables(self._file):
            found = function(
                named, scale(self.network, images), *labels, **dict(self.network.options)
            )
        refuse_operations(graph, name, self._file)
        wanted = (self.size,) if name == LOSSES else (self.size, self.network.class_count)
        self._check(name, found, wanted)
        return found

    def _check(self, name: str, found: Any, wanted: tuple[int, ...]) -> None:
        """Refuse another type or shape; a side that is not known is looked at in the values."""
        if not tf.is_tensor(found) or isinstance(found, tf.RaggedTensor | tf.SparseTensor):
            received = "None" if found is None else f"an object of type {type(found).__name__}"
            raise Refusal(f"Expected a tensor from {name}. Received: {received}.")
        if found.dtype != tf.float32:
            raise Refusal(f"Expected float32 from {name}. Received: {found.dtype.name}.")
        if not found.shape.is_compatible_with(wanted):
            raise wrong_shape(name, wanted, tuple(found.shape))


def hint_at_channels(shape: tuple[int, ...]) -> str:
    """A sentence about images of this shape if their channels seem to stand first."""
    if len(shape) != 3 or shape[0] not in CHANNELS or shape[2] in CHANNELS:
        return ""
    return (
        f" Images have shape {shape}, with channels first, but TensorFlow's functions take them "
        f"last, {(*shape[1:], shape[0])}: store images.transpose(0, 2, 3, 1)."
    )


def wrong_shape(name: str, wanted: tuple[int, ...], received: tuple[Any, ...]) -> Refusal:
    """The refusal of a result, of so many images, that has another shape."""
    words = {
        LOSSES: "one loss per image, shape (n,)",
        LOGITS: "a number per image and class, shape (n, classes)",
    }
    return Refusal(
        f"Expected {words[name]}, from {name}: of {wanted[0]} images {wanted}. "
        f"Received: shape {received}."
    )
