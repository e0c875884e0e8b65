"""Filter gradients from patches: TensorFlow's rule is there, is replaced, and gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorflow.python.ops.parallel_for import pfor

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own import patches

#: (rows, columns, channels), kernel, filters, stride, padding.
CASES = [
    ((6, 6, 1), (3, 3), 2, 1, "VALID"),
    ((6, 7, 3), (3, 2), 4, 1, "SAME"),
    ((7, 5, 2), (3, 3), 2, 2, "SAME"),
    ((8, 8, 2), (2, 2), 3, 2, "VALID"),
    ((5, 5, 2), (1, 1), 3, 1, "SAME"),
    ((9, 9, 2), (3, 3), 1, 3, "SAME"),
]


def gradients(*case: Any) -> tuple[Any, Any, list[str]]:
    """Each image's filter gradient, mapped and one by one, and the operations of the map."""
    shape, kernel, filters, stride, padding = case
    source = np.random.default_rng(0)
    images = tf.constant(source.normal(size=(4, *shape)).astype(np.float32))
    weights = tf.constant(source.normal(size=(*kernel, shape[2], filters)).astype(np.float32))

    def of_image(image: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            maps = tf.nn.conv2d(image[tf.newaxis], weights, stride, padding)
            total = tf.reduce_sum(tf.sin(maps))
        return tape.gradient(total, weights)

    def of_all(images: Any) -> Any:
        return tf.vectorized_map(of_image, images, fallback_to_while_loop=False)

    patches.use_patches()
    mapped = tf.function(of_all, autograph=False).get_concrete_function(images)
    kinds = [one.type for one in mapped.graph.get_operations()]
    return mapped(images), tf.stack([of_image(image) for image in images]), kinds


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_small_maps_are_computed_from_patches(case: Any) -> None:
    mapped, one_by_one, kinds = gradients(*case)

    np.testing.assert_allclose(mapped, one_by_one, rtol=1e-4, atol=1e-5)
    assert not any("While" in kind for kind in kinds)


def test_large_maps_are_left_to_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "MOST_PATCH_NUMBERS", 100)

    mapped, one_by_one, kinds = gradients(*CASES[0])

    np.testing.assert_allclose(mapped, one_by_one, rtol=1e-4, atol=1e-5)
    assert any("While" in kind for kind in kinds)


def test_the_rule_is_replaced_once() -> None:
    patches.use_patches()
    patches.use_patches()

    rule = pfor._pfor_converter_registry[patches.OPERATION]
    assert rule.func is patches._convert
    assert rule.args[0].__module__ == "tensorflow.python.ops.parallel_for.pfor"
