"""A run's images in chunks that are named by their content."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.datasets.source import Images, Labels
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.parameters import Arrays, digest, to_bytes
from tapeworks.wire.limits import ARRAYS_HEADER_BYTES

#: Images in a chunk of small ones: 190 KB of MNIST, so that a worker fetches little that it does
#: not need.
MOST_CHUNK_IMAGES = 256

#: Bytes that a chunk of large images stays below, unless one image is larger.
CHUNK_BYTES = 2**25


@dataclass(frozen=True, kw_only=True)
class ChunkedImages:
    """Images and labels, cut into chunks; what the scheduler publishes and names in messages."""

    chunk_images: int  #: images in each chunk but the last
    payloads: tuple[bytes, ...]  #: safetensors bytes of each chunk
    digests: tuple[str, ...]  #: SHA-256 of each chunk

    @property
    def digest(self) -> str:
        """One digest for all the images together."""
        return digest("".join(self.digests).encode())

    def find_needed(self, images: NDArray[np.integer]) -> dict[int, str]:
        """Digest of every chunk that holds one of these images, by the chunk's number."""
        numbers = np.unique(images // self.chunk_images).tolist()
        return {number: self.digests[number] for number in numbers}

    def payload(self, content_digest: str) -> bytes | None:
        """The chunk with this digest, if it is one of these."""
        place = self._places.get(content_digest)
        return None if place is None else self.payloads[place]

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.digests)}


def make_chunks(images: Images, labels: Labels) -> ChunkedImages:
    """Images of any shape with their class numbers or float32 targets as chunks."""
    kept = labels if labels.dtype == np.float32 else labels.astype(np.uint8)
    size = _chunk_images(images, kept)
    payloads = tuple(
        to_bytes({"images": images[first : first + size], "labels": kept[first : first + size]})
        for first in range(0, len(images), size)
    )
    return ChunkedImages(chunk_images=size, payloads=payloads, digests=tuple(map(digest, payloads)))


def _chunk_images(*arrays: NDArray[Any]) -> int:
    """Follows the bytes of one row alone, so that equal images have equal digests everywhere."""
    row_bytes = sum(array[:1].nbytes for array in arrays)
    fitting = (CHUNK_BYTES - ARRAYS_HEADER_BYTES) // max(row_bytes, 1)
    return min(max(fitting, 1), MOST_CHUNK_IMAGES)


def pick(
    chunks: Mapping[int, Arrays],
    images: NDArray[np.integer],
    chunk_images: int,
    network: AnyNetwork,
) -> tuple[Images, Labels]:
    """These images, as the network takes them, and their labels, in this order.

    Raises `KeyError`, `IndexError` or `ValueError` for what the chunks do not hold.
    """
    numbers, rows = np.divmod(images, chunk_images)
    picked = {
        "images": np.empty((len(images), *network.image_shape), network.image_kind.value),
        "labels": np.empty((len(images), *network.label_shape), network.label_kind.value),
    }
    for number in np.unique(numbers).tolist():
        here = numbers == number
        for name, array in picked.items():
            array[here] = _rows(chunks[number][name], rows[here], array)
    return picked["images"], picked["labels"]


def _rows(stored: NDArray[Any], rows: NDArray[np.integer], like: NDArray[Any]) -> NDArray[Any]:
    """Rows that would not be stretched or converted where they are put."""
    if stored.dtype != like.dtype or stored.shape[1:] != like.shape[1:]:
        raise ValueError(
            f"Expected {like.dtype} rows of shape {like.shape[1:]} in a chunk. "
            f"Received: {stored.dtype} of shape {stored.shape[1:]}."
        )
    picked: NDArray[Any] = stored[rows]
    return picked
