"""Convolutions of a whole microbatch, row by row, with the images side by side in every pixel.

Maps are (rows, columns × images): a row is one run of numbers, column after column, each column's
images next to each other. A pixel to the right is then a slice that begins further on, and a
convolution is a sum of slices times filter entries: nothing is unfolded in memory, every product
runs along a whole row, and an image's numbers never meet those of its neighbours.

Each function here is a loop over rows whose body is compiled once. A turn hands the next turn the
blocks that it will need instead of leaving it to look them up: XLA would fuse the look-up into the
innermost loop, which it could not vectorise any more.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from tapeworks.model.engine.runtime import tf, xla

#: Products that one turn adds up. Above some 250, XLA compiles them into slow scalar code.
MOST_PRODUCTS = 128


def convolve(maps: Any, filters: Any) -> Any:
    """Pre-activations (side, filters, side × images) of maps (below, below × images).

    `filters` is (filters, kernel_size, kernel_size). A tape differentiates by the maps only: by
    the filters it would give the sum over all images; see `filter_gradients`.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def of_maps(below: Any) -> Any:
        return _convolve(below, filters), lambda slopes: _spread(slopes, filters)

    return of_maps(maps)


def filter_gradients(slopes: Any, maps: Any, kernel_size: int) -> Any:
    """Each image's gradient of the filters: (filters, kernel_size, kernel_size, images).

    `slopes` are the loss's by the pre-activations, (side, filters, side × images), and `maps` is
    what was convolved: dW[f, a, b] = Σ over rows y and columns x of slope[y, f, x]·map[y+a, x+b].
    """
    side, count, run = slopes.shape
    images, parts = run // side, _parts(side, 1)
    columns = side // parts
    by_part = tf.reshape(slopes, (side, count, parts, columns * images))
    by_turn = tf.reshape(tf.transpose(by_part, (0, 2, 1, 3)), (-1, count, columns * images))
    width = (columns + kernel_size - 1) * images

    def blocks(turn: Any) -> tuple[Any, Any]:
        row, first = turn // parts, turn % parts * columns * images
        return block_of(by_turn, (turn, 0, 0), 1), block_of(maps, (row, first), kernel_size, width)

    def add(_: Any, total: Any, slope: Any, window: Any) -> Any:
        of_column = tf.split(tf.reshape(slope, (count, 1, 1, -1)), columns, axis=3)
        for column, entries in enumerate(of_column):
            seen = (kernel_size, kernel_size * images)
            patches = tf.slice(window, (0, column * images), seen)
            total += entries * tf.reshape(patches, (1, kernel_size, kernel_size, images))
        return total

    total = tf.zeros((count, kernel_size, kernel_size, images))
    return _each_turn(side * parts, blocks, add, total)


def _convolve(maps: Any, filters: Any) -> Any:
    count, kernel_size = filters.shape[:2]
    below, run = maps.shape
    images, side, parts = run // below, below - kernel_size + 1, _parts(kernel_size, kernel_size)
    height = kernel_size // parts
    by_part = tf.transpose(tf.reshape(filters, (count, parts, -1)), (1, 0, 2))

    def blocks(turn: Any) -> tuple[Any, Any]:
        row, part = turn // parts, turn % parts
        return block_of(maps, (row + part * height, 0), height), block_of(by_part, (part, 0, 0), 1)

    def add(turn: Any, result: Any, window: Any, entries: Any) -> Any:
        slices = [
            tf.slice(window, (offset, column * images), (1, side * images))
            for offset in range(height)
            for column in range(kernel_size)
        ]
        done = _sum_of_products(entries[0], slices)[tf.newaxis]
        return block_added(result, (turn // parts, 0, 0), done)

    return _each_turn(side * parts, blocks, add, tf.zeros((side, count, side * images)))


def _spread(slopes: Any, filters: Any) -> Any:
    """The loss's slopes by the maps: each pre-activation's, spread over the patch that it saw."""
    count, kernel_size = filters.shape[:2]
    side, _, run = slopes.shape
    images, below, parts = run // side, side + kernel_size - 1, _parts(count, kernel_size)
    of_turn, border = count // parts, (kernel_size - 1) * images
    by_part = tf.reshape(filters, (parts, of_turn, kernel_size, kernel_size))
    by_part = tf.reshape(tf.transpose(by_part, (0, 2, 1, 3)), (parts, kernel_size, -1))
    by_turn = tf.reshape(slopes, (side * parts, of_turn, run))

    def blocks(turn: Any) -> tuple[Any, Any]:
        return block_of(by_turn, (turn, 0, 0), 1), block_of(by_part, (turn % parts, 0, 0), 1)

    def add(turn: Any, result: Any, slope: Any, entries: Any) -> Any:
        wide = tf.pad(slope[0], [[0, 0], [border, border]])
        slices = [
            tf.slice(wide, (number, border - column * images), (1, below * images))
            for number in range(of_turn)
            for column in range(kernel_size)
        ]
        return block_added(result, (turn // parts, 0), _sum_of_products(entries[0], slices))

    return _each_turn(side * parts, blocks, add, tf.zeros((below, below * images)))


def _sum_of_products(entries: Any, slices: list[Any]) -> Any:
    """(rows, run): Σ over slices (1, run) of entries (rows, slices) times slice.

    One after the other, so that the order, and with it the bits, are the same on every machine.
    """
    products = (e * s for e, s in zip(tf.split(entries, len(slices), axis=1), slices, strict=True))
    return functools.reduce(operator.add, products)


def _parts(whole: int, products_each: int) -> int:
    """The fewest equal parts that have no more than `MOST_PRODUCTS` each, or parts of 1."""
    divisors = (number for number in range(1, whole + 1) if whole % number == 0)
    few = (n for n in divisors if whole // n * products_each <= MOST_PRODUCTS)
    return next(few, whole)


def _each_turn(
    turns: int, blocks: Callable[[Any], tuple[Any, Any]], add: Callable[..., Any], result: Any
) -> Any:
    def take(turn: Any, result: Any, *handed_on: Any) -> tuple[Any, ...]:
        return turn + 1, add(turn, result, *handed_on), *blocks(turn + 1)

    first = tf.constant(0)
    state = (first, result, *blocks(first))
    return tf.while_loop(lambda turn, *_: turn < turns, take, state, maximum_iterations=turns)[1]


def block_of(array: Any, origin: tuple[Any, ...], *sizes: int) -> Any:
    """Of these sizes, and whole in the other axes; past the end XLA takes the last one instead."""
    return xla.dynamic_slice(array, tf.stack(origin), (*sizes, *array.shape[len(sizes) :]))


def block_added(array: Any, origin: tuple[Any, ...], block: Any) -> Any:
    before = block_of(array, origin, *block.shape)
    return xla.dynamic_update_slice(array, before + block, tf.stack(origin))
