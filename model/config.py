"""The frozen configuration of a run: its documentation, its command line and its stored record."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from tapeworks.model.errors import ConfigurationError
from tapeworks.model.given_settings import format_value, plain_values, sentence
from tapeworks.model.update_config import UpdateConfig

#: Images in the smallest and the largest default microbatch. Throughput hardly grows above the
#: second; below the first, half of a call's time is TensorFlow's own (docs/engine.md).
SMALLEST_MICROBATCH = 16
LARGEST_MICROBATCH = 64

#: Default microbatches an iteration is cut into, as far as the two bounds above allow, so that
#: several workers find work in an iteration; the seed's 50 images make 4 of the smallest.
WANTED_MICROBATCHES = 8

#: Above this, a fully unfolded image would not fit beside others in a worker's memory.
LARGEST_UNFOLDED_BYTES = 2**30

#: What a microbatch's own arrays may take in a worker, in bytes; computing them takes some more. A
#: message that asks for more is refused before anything is allocated.
LARGEST_MICROBATCH_BYTES = 2**32

#: Not every draw within the seed document's bounds learns in its 50 iterations; this one does,
#: from a loss that is usual for such draws, on MNIST and on scikit-learn's digits.
DEFAULT_SEED = 10

#: Above every number that a run can reach, and within a database's whole numbers.
LARGEST_COUNT = 2**31 - 1

#: Bytes of all the per-image gradients of an iteration up to which `auto` has them returned: those
#: of 393 images of the default network.
MOST_PER_IMAGE_BYTES = 4 * 2**20

#: Images of an iteration up to which every iteration is recorded in full unless a run says
#: otherwise: each image's values, each answer's times. Of larger ones one of so many is.
MOST_IMAGES_ALWAYS_RECORDED, RECORDING_INTERVAL = 10_000, 100


#: The order in which the sums of gradients are made (model/reduction.py). It is no setting, but is
#: stored beside a run's: a run does not go on in another one.
SUM_ORDER = "binary tree over microbatches"


class Unfolding(StrEnum):
    """The ways in which a layer's input becomes patches."""

    LAYERWISE = "layerwise"  #: each layer unfolds its own input, a whole microbatch at once
    FULL = "full"  #: the image is unfolded once into eight axes, one image at a time


class GradientForm(StrEnum):
    """The forms in which a worker returns gradients, beside losses, norms and predictions."""

    PER_IMAGE = "per-image"  #: every image's gradient, float32
    SUMMED = "summed"  #: the sum of each block of microbatches, in image order, float64
    NOTHING = "nothing"  #: none: an evaluation


class GradientChoice(StrEnum):
    """The forms that a configuration may ask for."""

    AUTO = "auto"  #: per-image while all of an iteration's are small, else summed
    PER_IMAGE = GradientForm.PER_IMAGE.value
    SUMMED = GradientForm.SUMMED.value


def _split(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


#: Not the undecoded bytes of a command line: with a length to count, pydantic refuses them.
Text = Annotated[str, Field(min_length=0)]

#: How many there are of something, or a label.
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]

#: Whole numbers, also written as on the command line: "3,6".
Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split)]
Labels = Annotated[tuple[Count, ...], BeforeValidator(_split)]


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


class NetworkConfig(Architecture):
    """Everything that decides what one microbatch's computation is."""

    class_count: Annotated[int, Field(ge=2, le=256)] = 2
    microbatch_size: Annotated[int, Field(ge=1, le=65536)] = SMALLEST_MICROBATCH

    @property
    def sides(self) -> tuple[int, ...]:
        """Rows (and columns) of each layer's output; the default network's are 25, 21, 15."""
        return _sides(self.image_side, self.kernel_sizes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter array, by name, in the network's order."""
        return _shapes(self.kernel_sizes, self.filters, self.sides[-1], self.class_count).copy()

    @property
    def parameter_count(self) -> int:
        """Numbers that are trained."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def microbatch_bytes(self) -> int:
        """The least bytes of a microbatch: every image's gradients and each layer's maps."""
        maps = sum(self.filters * side**2 for side in self.sides)
        return 4 * self.microbatch_size * (self.parameter_count + maps)

    @property
    def fits(self) -> bool:
        """Check that a worker can hold it."""
        return self.has_pixels and self.is_computable and self.is_unfoldable

    @property
    def has_pixels(self) -> bool:
        """Check that the kernels leave some pixels to the last layer."""
        return self.sides[-1] >= 1

    @property
    def is_computable(self) -> bool:
        """Check that there is memory for a microbatch."""
        return self.microbatch_bytes <= LARGEST_MICROBATCH_BYTES

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
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"conv_{layer}": (filters, size, size) for layer, size in enumerate(kernel_sizes, start=1)
    }
    return shapes | {"dense_1": (class_count, filters, side, side)}


class RunConfig(UpdateConfig, Architecture):
    """One training, from its data to its last iteration. Defaults are the seed's numbers."""

    dataset: Annotated[
        str, Field(min_length=1, description="digits, mnist, or the path of an .npz file")
    ] = "digits"
    data_dir: Annotated[
        Text | None, Field(description="directory that holds MNIST's files [TAPEWORKS_DATA_DIR]")
    ] = None
    classes: Annotated[
        Labels, Field(min_length=2, max_length=256, description="labels to tell apart, two or more")
    ] = (3, 6)
    images: Annotated[Count, Field(ge=1, description="images to train on")] = 50
    images_per_iteration: Annotated[
        Count | None,
        Field(ge=1, description="images in each iteration, drawn by the seed; default: all"),
    ] = None
    test_images: Annotated[
        Count, Field(description="held-out images to measure accuracy on at the end")
    ] = 0
    evaluate_every: Annotated[
        Count, Field(description="measure it after every Nth iteration too; 0 only at the end")
    ] = 0
    patience: Annotated[
        Count,
        Field(description="stop after so many evaluations without a lower loss; 0 goes on"),
    ] = 0
    iterations: Annotated[Count, Field(ge=1, description="parameter updates")] = 50
    seed: Annotated[
        int, Field(ge=0, lt=2**63, description="draws the initial parameters and the image sets")
    ] = DEFAULT_SEED
    gradients: Annotated[
        GradientChoice,
        Field(description="what workers return: every image's gradient, or sums; auto: by size"),
    ] = GradientChoice.AUTO
    microbatch_size: Annotated[
        int | None,
        Field(ge=1, le=65536, description="images computed together; default follows the images"),
    ] = None
    shards: Annotated[
        Count | None, Field(ge=1, description="shards per iteration; default follows the workers")
    ] = None
    checkpoint_every: Annotated[
        Count, Field(ge=1, description="keep the parameters of every Nth iteration")
    ] = 1
    record_images_every: Annotated[
        Count | None,
        Field(
            ge=1,
            description="keep each image's values of every Nth iteration; default: of every one "
            f"up to {MOST_IMAGES_ALWAYS_RECORDED} images, else of every {RECORDING_INTERVAL}th",
        ),
    ] = None
    audit: Annotated[
        float,
        Field(ge=0, le=1, description="share of the shards that two workers must agree on"),
    ] = 0.0
    allow_mixed_workers: Annotated[
        bool, Field(description="accept workers of other fingerprints, giving up equal bits")
    ] = False

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            received = f"classes={format_value(self.classes)}"
            raise ValueError(f"Expected different classes. Received: {received}")
        if self.audit and self.allow_mixed_workers:
            raise ValueError(
                "Mixed workers compute different bits, which an audit cannot compare; choose one. "
                f"Received: audit={self.audit} allow_mixed_workers=true"
            )
        if self.evaluate_every and not self.test_images:
            raise ValueError(
                "An evaluation needs held-out images; say how many with test_images. "
                f"Received: evaluate_every={self.evaluate_every} test_images=0"
            )
        if self.patience and not self.evaluate_every:
            raise ValueError(
                "Patience counts evaluations; say with evaluate_every after how many iterations "
                f"there is one. Received: patience={self.patience} evaluate_every=0"
            )
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        network = self.network
        if not network.has_pixels:
            taken = "".join(f" − {size - 1}" for size in self.kernel_sizes)
            raise ValueError(
                f"Kernel sizes leave no pixel of an image side of {self.image_side}, of which each "
                f"takes its size less 1: {self.image_side}{taken} is less than 1. "
                f"Received: kernel_sizes={format_value(self.kernel_sizes)}"
            )
        if not network.is_computable:
            images, needed = network.microbatch_size, network.microbatch_bytes / 1e9
            raise ValueError(
                f"A microbatch of {images} images would take {needed:.1f} GB of a worker's "
                f"memory with this network, of {LARGEST_MICROBATCH_BYTES / 1e9:.1f} GB that it "
                f"may; choose a smaller one, or a smaller network. Received: "
                f"microbatch_size={images}{'' if self.microbatch_size else ', the default'}"
            )
        if not network.is_unfoldable:
            needed = network.unfolded_bytes / 1e9
            raise ValueError(
                f"One fully unfolded image would take {needed:.1f} GB with these kernel sizes; "
                "use unfolding=layerwise. Received: unfolding=full"
            )
        return self

    @model_validator(mode="after")
    def _counts_fit_together(self) -> Self:
        if self.images_in_an_iteration > self.images:
            raise ValueError(
                "An iteration cannot have more images than the run. Received: "
                f"images_per_iteration={self.images_per_iteration} images={self.images}"
            )
        if self.warmup_iterations >= self.iterations:
            raise ValueError(
                "The warm-up must end before the run does. Received: "
                f"warmup_iterations={self.warmup_iterations} iterations={self.iterations}"
            )
        return self

    @model_validator(mode="wrap")
    @classmethod  # the last of the validators, as it is called around those before it
    def _refuses_in_one_sentence(
        cls, given: Any, validate: ModelWrapValidatorHandler[Self]
    ) -> Self:
        values = plain_values(given, cls.model_fields) if isinstance(given, Mapping) else given
        try:
            return validate(values)
        except ValidationError as error:
            raise ConfigurationError(sentence(error)) from error

    @property
    def images_in_an_iteration(self) -> int:
        """Images that an iteration averages over; the last of a pass may have fewer."""
        return self.images_per_iteration or self.images

    @property
    def gradient_form(self) -> GradientForm:
        """The form in which workers return gradients; the bits of a run are the same in either."""
        if self.gradients is not GradientChoice.AUTO:
            return GradientForm(self.gradients.value)
        per_image_bytes = 4 * self.network.parameter_count * self.images_in_an_iteration
        is_small = per_image_bytes <= MOST_PER_IMAGE_BYTES
        return GradientForm.PER_IMAGE if is_small else GradientForm.SUMMED

    @property
    def recording_interval(self) -> int:
        """Iterations from one that is recorded in full to the next; 1: all of them are."""
        is_small = self.images_in_an_iteration <= MOST_IMAGES_ALWAYS_RECORDED
        return self.record_images_every or (1 if is_small else RECORDING_INTERVAL)

    @property
    def network(self) -> NetworkConfig:
        """The part of the configuration that decides what a microbatch's computation is."""
        return NetworkConfig(
            image_side=self.image_side,
            kernel_sizes=self.kernel_sizes,
            filters=self.filters,
            class_count=len(self.classes),
            unfolding=self.unfolding,
            microbatch_size=self.microbatch_size
            or default_microbatch_size(self.images_in_an_iteration),
        )


def default_microbatch_size(images: int) -> int:
    """The images computed together when the configuration does not say: a power of two.

    Depends on the configuration alone, never on the workers, so that the bits do not either.
    """
    wanted = -(-images // WANTED_MICROBATCHES)
    power = 1 << (wanted - 1).bit_length()
    return min(max(power, SMALLEST_MICROBATCH), LARGEST_MICROBATCH)


def run_config(values: dict[str, Any]) -> RunConfig:
    """The configuration with these values, everything else at its default.

    Raises `ConfigurationError`, one sentence, for an unknown name or a value that cannot work.
    """
    return RunConfig.model_validate(values)


def record(config: RunConfig) -> dict[str, Any]:
    """The stored form of a configuration: its settings, and the order of sums."""
    return config.model_dump(mode="json") | {"sum_order": SUM_ORDER}


def extract_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings alone of a stored configuration."""
    return {name: value for name, value in record.items() if name != "sum_order"}


def restore_config(record: Mapping[str, Any]) -> RunConfig:
    """The configuration that was stored so; raises like `run_config`."""
    return run_config(extract_settings(record))
