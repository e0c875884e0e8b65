"""The contract of a network as data: names, shapes and limits, without TensorFlow."""

from __future__ import annotations

import math
from abc import abstractmethod
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Images in the smallest default microbatch.
SMALLEST_MICROBATCH = 16

#: What a microbatch's own arrays may take in a worker, in bytes; computing them takes some more. A
#: message that asks for more is refused before anything is allocated.
LARGEST_MICROBATCH_BYTES = 2**32

#: Arrays that an answer may hold, a row per image.
LOSSES, GRADIENT_NORMS, PREDICTIONS = "losses", "gradient_norms", "predictions"

#: Room for what stands before the arrays of safetensors, where they are few, in bytes.
HEADER_BYTES = 64 * 1024

#: Of a digest in hexadecimal.
Digest = Annotated[str, Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]*$")]

Shape = tuple[int, ...]


class GradientForm(StrEnum):
    """The forms in which a worker returns gradients, beside losses and other values."""

    PER_IMAGE = "per-image"  #: every image's gradient, float32
    SUMMED = "summed"  #: the sum of each block of microbatches, float64
    NOTHING = "nothing"  #: none: an evaluation


class ArrayKind(StrEnum):
    """The element types of images and labels."""

    BYTES = "uint8"  #: of images: grey levels, divided by 255; of labels: places among the classes
    FLOATS = "float32"  #: taken as they are

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return 1 if self is ArrayKind.BYTES else 4


class Network(BaseModel):
    """Everything that decides what one microbatch's computation is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    microbatch_size: Annotated[int, Field(ge=1, le=65536)] = SMALLEST_MICROBATCH

    @property
    @abstractmethod
    def title(self) -> str:
        """Name it to people."""

    @property
    @abstractmethod
    def digest(self) -> str | None:
        """SHA-256 of its source text; None if it is part of Tapeworks."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """Shape of each parameter array, by name, in the network's order."""

    @property
    @abstractmethod
    def image_shape(self) -> Shape:
        """Shape of one image."""

    @property
    @abstractmethod
    def image_kind(self) -> ArrayKind:
        """Element type of images."""

    @property
    @abstractmethod
    def label_shape(self) -> Shape:
        """Shape of one image's label; () for a class."""

    @property
    @abstractmethod
    def label_kind(self) -> ArrayKind:
        """Element type of labels."""

    @property
    @abstractmethod
    def classes_predicted(self) -> int | None:
        """Classes that its predictions are of; None if it predicts none."""

    @abstractmethod
    def has_norms(self, wanted: GradientForm) -> bool:
        """Check that each image's gradient norm is computed where gradients are wanted so."""

    @property
    @abstractmethod
    def microbatch_bytes(self) -> int:
        """The least bytes of a microbatch: its gradients and what they are computed from."""

    @property
    @abstractmethod
    def slice_bytes(self) -> int:
        """Bytes of a microbatch by which a worker cuts its images into slices."""

    @property
    @abstractmethod
    def image_seconds(self) -> float:
        """Estimate the seconds in which one core computes one image's gradient."""

    @property
    @abstractmethod
    def fits(self) -> bool:
        """Check that a worker can hold it."""

    @property
    @abstractmethod
    def compiled_as(self) -> Network:
        """The network whose compiled functions serve this one, too."""

    @property
    def parameter_count(self) -> int:
        """Numbers that are trained."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def image_bytes(self) -> int:
        """Bytes of one image and its label, as they are published."""
        image = self.image_kind.item_bytes * math.prod(self.image_shape)
        return image + self.label_kind.item_bytes * math.prod(self.label_shape)

    @property
    def header_bytes(self) -> int:
        """Room for the names and shapes that stand before its arrays, in bytes."""
        return HEADER_BYTES

    def image_values(self, wanted: GradientForm) -> dict[str, str]:
        """Return the arrays of an answer that have a number per image, with their dtypes."""
        values = {LOSSES: "float32"}
        if self.has_norms(wanted):
            values[GRADIENT_NORMS] = "float32"
        if self.classes_predicted is not None:
            values[PREDICTIONS] = "int32"
        return values

    @property
    def is_computable(self) -> bool:
        """Check that there is memory for a microbatch."""
        return self.microbatch_bytes <= LARGEST_MICROBATCH_BYTES
