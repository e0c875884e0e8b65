"""Images in chunks: of any shape, of bounded size, named by the same digests everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model.config import run_config
from tapeworks.model.datasets import ImageData, load
from tapeworks.model.parameters import digest, from_bytes
from tapeworks.wire.chunks import CHUNK_BYTES, ChunkedImages, make_chunks, pick
from tests.support.own_networks import own_network

TEN = tuple(range(10))


def digest_of(data: ImageData) -> str:
    return make_chunks(data.images, data.labels).digest


# Pinned: runs are bound to their images by these digests.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "ca8056d6ffe6b082f23ff2285c016cb7a4e19f018fb8daa05dfcece8be3ab2c5"),
        (
            {"classes": TEN, "images": 1500},
            "5ed849e5df89d7f7600dc5b4c232810911bfaa89d49dcf7b9aac09337ffe2d66",
        ),
        (
            {"classes": (1, 7), "images": 300, "image_side": 8, "kernel_sizes": (3,)},
            "23d9dd881e02696548dbb210a4a174e5f19dfc208c044b4145464926275f7795",
        ),
    ],
)
def test_the_digits_have_known_digests(values: dict[str, Any], expected: str) -> None:
    assert digest_of(load(run_config(values)).training) == expected


def test_a_user_s_file_has_a_known_digest(tmp_path: Path) -> None:
    images = (np.arange(600 * 63) % 251).astype(np.uint8).reshape(600, 9, 7)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(600) % 3)
    values = {"classes": (2, 0, 1), "images": 513, "test_images": 87, "image_side": 6}
    path = str(tmp_path / "own.npz")

    split = load(run_config(values | {"dataset": path, "kernel_sizes": (3,)}))

    expected = "9815b21f294bc4036323eee979aac25b468aa7c0110dc8c36dceb6d74c32a780"
    assert digest_of(split.training) == expected
    expected = "dddb7df8c07b6be48340733e7b31dd57ea38ed86cb0630d8b6d932f70e572e16"
    assert digest_of(split.test) == expected


def test_mnist_has_a_known_digest(mnist_dir: Path) -> None:
    values = {"dataset": "mnist", "data_dir": str(mnist_dir), "classes": TEN}
    split = load(run_config(values | {"images": 8000, "test_images": 2000}))

    expected = "13cff6207121108b2f6bc41d12ee041afc3a57eda447b90a3cd4e1970af3ad55"
    assert digest_of(split.training) == expected
    expected = "4c63f187a188d7cd90c3a7e0b82740a2069ce7e575c521b47b7f392707d4abca"
    assert digest_of(split.test) == expected


# Any shape and type


def picked(
    chunks: ChunkedImages, numbers: list[int], **facts: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    wanted = np.array(numbers)
    opened = {
        number: from_bytes(chunks.payload(name) or b"")
        for number, name in chunks.find_needed(wanted).items()
    }
    return pick(opened, wanted, chunks.chunk_images, own_network(**facts))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (3, 4, 5), (2, 1, 2, 1, 2)])
@pytest.mark.parametrize(
    ("label_shape", "label_dtype"), [((), "uint8"), ((), "float32"), ((3,), "float32")]
)
def test_images_and_labels_come_back_as_they_were(
    shape: tuple[int, ...], dtype: str, label_shape: tuple[int, ...], label_dtype: str
) -> None:
    source = np.random.default_rng(3)
    images = source.uniform(0, 256, (600, *shape)).astype(dtype)
    labels = source.uniform(0, 256, (600, *label_shape)).astype(label_dtype)
    numbers = [599, 0, 255, 256, 511, 512, 0]

    found = picked(
        make_chunks(images, labels),
        numbers,
        input_shape=shape,
        input_kind=dtype,
        target_shape=label_shape,
        target_kind=label_dtype,
    )

    for array, expected in zip(found, (images[numbers], labels[numbers]), strict=True):
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("numbers", "images"),
    [
        (1, 256),
        (32 * 32 * 3, 256),
        (130_815, 256),
        (130_816, 255),
        (2**22, 7),
        (2**25 - 2**17, 1),
        (2**25 + 1, 1),
    ],
)
def test_a_chunk_has_256_images_or_as_many_as_stay_below_32_mib(numbers: int, images: int) -> None:
    data = np.broadcast_to(np.uint8(1), (images + 1, numbers))

    chunks = make_chunks(data, np.zeros(images + 1, np.uint8))

    assert chunks.chunk_images == images
    assert list(map(len, map(from_bytes, chunks.payloads))) == [2, 2]
    assert images == 1 or max(map(len, chunks.payloads)) < CHUNK_BYTES == 32 * 1024 * 1024
    assert chunks.digests == tuple(map(digest, chunks.payloads))
    assert chunks.find_needed(np.array([images, images - 1])).keys() == {0, 1}


def test_large_targets_make_chunks_smaller_too() -> None:
    chunks = make_chunks(np.zeros((300, 1), np.uint8), np.zeros((300, 2**16), np.float32))
    assert 100 < chunks.chunk_images < 128
    assert max(map(len, chunks.payloads)) < CHUNK_BYTES


@pytest.mark.parametrize(
    "facts",
    [
        {"input_shape": (3, 1)},
        {"input_shape": (4,)},
        {"input_shape": (3,), "input_kind": "float32"},
        {"input_shape": (3,), "target_kind": "float32"},
        {"input_shape": (3,), "target_shape": (2,)},
    ],
)
def test_rows_of_another_shape_or_type_are_neither_stretched_nor_converted(
    facts: dict[str, Any],
) -> None:
    chunks = make_chunks(np.zeros((5, 3), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(ValueError, match=r"Expected .* rows of shape .* Received: uint8"):
        picked(chunks, [1, 2], **facts)
