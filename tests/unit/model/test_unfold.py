"""The full unfolding against the seed's comprehensions and against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.networks.builtin.forward import unfold_fully


def numbered(*shape: int) -> NDArray[np.float32]:
    """Every pixel another value, so that a misplaced one shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def seeds_prep_inp(inp_img: NDArray[np.float32]) -> NDArray[np.float32]:
    """The seed document's `prep_inp`, but for the tensor that it makes of the array."""
    rows, columns = inp_img.shape
    img_proc = np.array(
        [[inp_img[j : (j + 3), k : (k + 3)] for k in range(columns - 2)] for j in range(rows - 2)]
    )
    img_proc_1 = np.array(
        [
            [img_proc[j : (j + 5), k : (k + 5)] for k in range(columns - 2 - 4)]
            for j in range(rows - 2 - 4)
        ]
    )
    img_proc_2 = [
        [img_proc_1[j : (j + 7), k : (k + 7)] for k in range(columns - 2 - 4 - 6)]
        for j in range(rows - 2 - 4 - 6)
    ]
    return np.array(img_proc_2)


def test_the_full_unfolding_is_the_seeds() -> None:
    image = numbered(27, 27)

    unfolded = unfold_fully(image, (3, 5, 7))

    assert unfolded.shape == (15, 15, 7, 7, 5, 5, 3, 3)
    assert unfolded.dtype == np.float32
    assert unfolded.nbytes == 9_922_500
    assert np.array_equal(unfolded, seeds_prep_inp(image))


def test_the_full_unfolding_is_a_copy_that_the_caller_may_keep() -> None:
    image = numbered(5, 5)
    unfolded = unfold_fully(image, (2, 3))

    image[:] = -1

    assert unfolded.flags.c_contiguous
    assert unfolded.min() == 0


@pytest.mark.parametrize("kernel_sizes", [(1,), (4,), (2, 3), (3, 2), (1, 2, 1), (2, 1, 2, 1, 2)])
def test_a_fully_unfolded_pixel_stands_where_its_offsets_add_up(
    kernel_sizes: tuple[int, ...],
) -> None:
    image = numbered(6, 6)

    unfolded = unfold_fully(image, kernel_sizes)

    side = 6 - sum(size - 1 for size in kernel_sizes)
    patch_axes = [size for size in reversed(kernel_sizes) for _ in range(2)]
    assert unfolded.shape == (side, side, *patch_axes)
    for place in np.ndindex(*unfolded.shape):
        assert unfolded[place] == image[sum(place[0::2]), sum(place[1::2])]
