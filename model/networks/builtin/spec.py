"""The seed's network as data."""

from __future__ import annotations

import functools
import math
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tapeworks.model.networks.spec import ArrayKind, GradientForm, Network, Shape

#: Its name among a run's settings.
BUILT_IN = "built-in"

#: Above this, a fully unfolded image would not fit beside others in a worker's memory.
LARGEST_UNFOLDED_BYTES = 2**30

#: Seconds of one multiply-add of the layerwise network, with all that computing an image takes,
#: and of one number of a fully unfolded image, for each filter: measured on a core of an AMD EPYC
#: with AVX-512.
MULTIPLY_ADD_SECONDS = 1.2e-10
UNFOLDED_NUMBER_SECONDS = 1.8e-9


class Unfolding(StrEnum):
    """The ways in which a layer's input becomes patches."""

    LAYERWISE = "layerwise"  #: each layer unfolds its own input, a whole microbatch at once
    FULL = "full"  #: the image is unfolded once into eight axes, one image at a time


def split_items(value: Any) -> Any:
    """Split a list as on the command line: "3,6"."""
    return value.split(",") if isinstance(value, str) else value


#: Whole numbers, also written as on the command line.
Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(split_items)]


class Architecture(BaseModel):
    """The shape of the network, but for its classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unfolding: Annotated[
        Unfolding, Field(description="layerwise is fast; full is the seed's own way")
    ] = Unfolding.LAYERWISE
    image_side: Annotated[
        int, Field(ge=1, le=1024, description="rows and columns of an image that the network sees")
    ] = 27
    kernel_sizes: Annotated[
        Sizes, Field(min_length=1, max_length=16, description="patch side of each layer")
    ] = (3, 5, 7)
    filters: Annotated[int, Field(ge=1, le=1024, description="filters in each layer")] = 5


class BuiltinNetwork(Network, Architecture):
    """The seed's network."""

    kind: Literal["built-in"] = "built-in"
    class_count: Annotated[int, Field(ge=2, le=256)] = 2

    @property
    def title(self) -> str:
        return "the built-in network"

    @property
    def digest(self) -> None:
        return None

    @property
    def sides(self) -> tuple[int, ...]:
        """Rows (and columns) of each layer's output; the default network's are 25, 21, 15."""
        return _sides(self.image_side, self.kernel_sizes)

    @property
    def shapes(self) -> dict[str, Shape]:
        return _shapes(self.kernel_sizes, self.filters, self.sides[-1], self.class_count).copy()

    @property
    def image_shape(self) -> Shape:
        return (self.image_side, self.image_side)

    @property
    def image_kind(self) -> ArrayKind:
        return ArrayKind.BYTES

    @property
    def label_shape(self) -> Shape:
        return ()

    @property
    def label_kind(self) -> ArrayKind:
        return ArrayKind.BYTES

    @property
    def classes_predicted(self) -> int:
        return self.class_count

    def has_norms(self, wanted: GradientForm) -> bool:  # noqa: ARG002
        return True

    @property
    def microbatch_bytes(self) -> int:
        """Every image's gradients and each layer's maps."""
        maps = sum(self.filters * side**2 for side in self.sides)
        return 4 * self.microbatch_size * (self.parameter_count + maps)

    @property
    def slice_bytes(self) -> int:
        is_full = self.unfolding is Unfolding.FULL
        return self.microbatch_bytes + is_full * self.microbatch_size * self.unfolded_bytes

    @property
    def fits(self) -> bool:
        return self.has_pixels and self.is_computable and self.is_unfoldable

    @property
    def has_pixels(self) -> bool:
        """Check that the kernels leave some pixels to the last layer."""
        return self.sides[-1] >= 1

    @property
    def is_unfoldable(self) -> bool:
        """Check that there is memory for an image, unfolded as it is to be."""
        is_full = self.unfolding is Unfolding.FULL
        return not is_full or self.unfolded_bytes <= LARGEST_UNFOLDED_BYTES

    @property
    def unfolded_bytes(self) -> int:
        """Size of one fully unfolded float32 image; 9.9 MB for the default network."""
        positions = self.sides[-1] ** 2
        return 4 * positions * math.prod(size**2 for size in self.kernel_sizes)

    @property
    def compiled_as(self) -> BuiltinNetwork:
        """Images are computed alike in microbatches of any size."""
        return self.model_copy(update={"microbatch_size": 1})

    @property
    def image_seconds(self) -> float:
        if self.unfolding is Unfolding.FULL:
            return self.unfolded_bytes / 4 * self.filters * UNFOLDED_NUMBER_SECONDS
        return self.multiply_adds * MULTIPLY_ADD_SECONDS

    @property
    def multiply_adds(self) -> int:
        """Those of one image's gradients that no formulation can do without.

        Each layer convolves the sum of the maps below: once forward, once for the gradients of its
        filters and, but for the first, once for the slopes of the layer below. So does the dense
        array.
        """
        layers = [
            side**2 * self.filters * size**2
            for side, size in zip(self.sides, self.kernel_sizes, strict=True)
        ]
        return 3 * sum(layers) - layers[0] + 3 * math.prod(self.shapes["dense_1"])


# Asked for many times at every shard.


@functools.lru_cache
def _sides(side: int, kernel_sizes: tuple[int, ...]) -> tuple[int, ...]:
    sides = []
    for size in kernel_sizes:
        side -= size - 1
        sides.append(side)
    return tuple(sides)


@functools.lru_cache
def _shapes(
    kernel_sizes: tuple[int, ...], filters: int, side: int, class_count: int
) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {
        f"conv_{layer}": (filters, size, size) for layer, size in enumerate(kernel_sizes, start=1)
    }
    return shapes | {"dense_1": (class_count, filters, side, side)}
