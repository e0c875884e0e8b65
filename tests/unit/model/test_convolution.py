"""Convolutions of whole microbatches against loops over pixels, in whole numbers: exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.builtin import convolution

#: Side of the maps below, kernel size, filters, images.
SHAPES = [(1, 1, 1, 1), (5, 2, 3, 8), (6, 3, 1, 3), (7, 7, 2, 8), (9, 4, 4, 5), (8, 1, 6, 2)]

Whole = NDArray[np.float64]


@pytest.fixture(params=[128, 4], ids=["rows at once", "rows in parts"], autouse=True)
def most_products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "MOST_PRODUCTS", request.param)


def whole_numbers(*shape: int) -> Whole:
    """Small enough that float32 adds and multiplies them exactly, in any order."""
    return np.random.default_rng(len(shape)).integers(-9, 10, shape).astype(np.float64)


def images_innermost(images: Whole) -> Any:
    """(images, rows, columns) as (rows, columns × images)."""
    rows = images.shape[1]
    return tf.constant(images.transpose(1, 2, 0).reshape(rows, -1), tf.float32)


def slopes_innermost(slopes: Whole) -> Any:
    """(images, filters, rows, columns) as (rows, filters, columns × images)."""
    _, filters, rows, _ = slopes.shape
    return tf.constant(slopes.transpose(2, 1, 3, 0).reshape(rows, filters, -1), tf.float32)


def compiled(function: Callable[..., Any], *arguments: Any) -> NDArray[np.float32]:
    result: NDArray[np.float32] = tf.function(function, jit_compile=True)(*arguments).numpy()
    return result


@pytest.mark.parametrize(("below", "kernel_size", "filters", "images"), SHAPES)
def test_pre_activations_are_every_windows_products(
    below: int, kernel_size: int, filters: int, images: int
) -> None:
    maps = whole_numbers(images, below, below)
    entries = whole_numbers(filters, kernel_size, kernel_size)
    side = below - kernel_size + 1
    expected = np.zeros((side, filters, side, images))
    for row, number, column, image in np.ndindex(*expected.shape):
        window = maps[image, row : row + kernel_size, column : column + kernel_size]
        expected[row, number, column, image] = (window * entries[number]).sum()

    computed = compiled(
        convolution.convolve, images_innermost(maps), tf.constant(entries, tf.float32)
    )

    assert computed.shape == (side, filters, side * images)
    assert np.array_equal(computed, expected.reshape(computed.shape))


@pytest.mark.parametrize(("below", "kernel_size", "filters", "images"), SHAPES)
def test_a_tape_spreads_every_slope_over_the_window_that_it_saw(
    below: int, kernel_size: int, filters: int, images: int
) -> None:
    side = below - kernel_size + 1
    maps, slopes = whole_numbers(images, below, below), whole_numbers(images, filters, side, side)
    entries = whole_numbers(filters, kernel_size, kernel_size)
    expected = np.zeros((below, below, images))
    for image, number, row, column in np.ndindex(*slopes.shape):
        window = expected[row : row + kernel_size, column : column + kernel_size, image]
        window += slopes[image, number, row, column] * entries[number]

    def by_maps(below: Any, filters: Any, slopes: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(below)
            preactivations = convolution.convolve(below, filters)
        return tape.gradient(preactivations, below, output_gradients=slopes)

    computed = compiled(
        by_maps,
        images_innermost(maps),
        tf.constant(entries, tf.float32),
        slopes_innermost(slopes),
    )

    assert np.array_equal(computed, expected.reshape(computed.shape))


@pytest.mark.parametrize(("below", "kernel_size", "filters", "images"), SHAPES)
def test_filter_gradients_are_each_images_own(
    below: int, kernel_size: int, filters: int, images: int
) -> None:
    side = below - kernel_size + 1
    maps, slopes = whole_numbers(images, below, below), whole_numbers(images, filters, side, side)
    expected = np.zeros((filters, kernel_size, kernel_size, images))
    for image, number, row, column in np.ndindex(*slopes.shape):
        window = maps[image, row : row + kernel_size, column : column + kernel_size]
        expected[number, :, :, image] += slopes[image, number, row, column] * window

    computed = compiled(
        lambda slopes, maps: convolution.filter_gradients(slopes, maps, kernel_size),
        slopes_innermost(slopes),
        images_innermost(maps),
    )

    assert np.array_equal(computed, expected)
