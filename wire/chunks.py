"""A run's images in chunks that are named by their content."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.parameters import Arrays, digest, to_bytes

#: Images in one chunk: 190 KB of MNIST, so that a worker fetches little that it does not need.
CHUNK_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class ChunkedImages:
    """Images and labels, cut into chunks; what the scheduler publishes and names in messages."""

    payloads: tuple[bytes, ...]  #: safetensors bytes of each chunk
    digests: tuple[str, ...]  #: SHA-256 of each chunk

    @property
    def digest(self) -> str:
        """One digest for all the images together."""
        return digest("".join(self.digests).encode())

    def find_needed(self, images: NDArray[np.integer]) -> dict[int, str]:
        """Digest of every chunk that holds one of these images, by the chunk's number."""
        numbers = np.unique(images // CHUNK_IMAGES).tolist()
        return {number: self.digests[number] for number in numbers}

    def payload(self, content_digest: str) -> bytes | None:
        """The chunk with this digest, if it is one of these."""
        place = self._places.get(content_digest)
        return None if place is None else self.payloads[place]

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.digests)}


def make_chunks(images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> ChunkedImages:
    """(n, side, side) uint8 images and (n,) class numbers as chunks."""
    payloads = tuple(
        to_bytes(
            {
                "images": images[first : first + CHUNK_IMAGES],
                "labels": labels[first : first + CHUNK_IMAGES].astype(np.uint8),
            }
        )
        for first in range(0, len(images), CHUNK_IMAGES)
    )
    return ChunkedImages(payloads=payloads, digests=tuple(map(digest, payloads)))


def pick(
    chunks: Mapping[int, Arrays],
    images: NDArray[np.integer],
    chunk_images: int,
    network: AnyNetwork,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """These images and their labels, in this order, as the network takes them.

    Raises `KeyError`, `IndexError` or `ValueError` for what the chunks do not hold.
    """
    numbers, rows = np.divmod(images, chunk_images)
    pixels = np.empty((len(images), *network.image_shape), network.image_kind.value)
    labels = np.empty((len(images), *network.label_shape), network.label_kind.value)
    for number in np.unique(numbers).tolist():
        here = numbers == number
        pixels[here] = chunks[number]["images"][rows[here]]
        labels[here] = chunks[number]["labels"][rows[here]]
    return pixels, labels
