"""The frozen configuration of a run: its documentation, its command line and its stored record."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from tapeworks.model.errors import ConfigurationError
from tapeworks.model.given_settings import (
    describe_settings,
    fold_options,
    format_value,
    plain_values,
    sentence,
)
from tapeworks.model.immutable import Immutable
from tapeworks.model.labels import MOST_CLASSES, split_labels
from tapeworks.model.networks.builtin.spec import (
    BUILT_IN,
    Architecture,
    BuiltinNetwork,
)
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.own.spec import (
    MOST_OPTIONS,
    Backward,
    NetworkFacts,
    Option,
    OwnNetwork,
)
from tapeworks.model.networks.spec import (
    LARGEST_MICROBATCH_BYTES,
    SMALLEST_MICROBATCH,
    GradientForm,
)
from tapeworks.model.update_config import UpdateConfig

#: Images in the largest default microbatch: throughput hardly grows above; below the smallest one,
#: half of a call's time is TensorFlow's own (docs/engine.md).
LARGEST_MICROBATCH = 64

#: Default microbatches an iteration is cut into, as far as the two bounds above allow, so that
#: several workers find work in an iteration; the seed's 50 images make 4 of the smallest.
WANTED_MICROBATCHES = 8

#: The seed's.
DEFAULT_CLASSES = (3, 6)

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


class GradientChoice(StrEnum):
    """The forms that a configuration may ask for."""

    AUTO = "auto"  #: per-image while all of an iteration's are small, else summed
    PER_IMAGE = GradientForm.PER_IMAGE.value
    SUMMED = GradientForm.SUMMED.value
    MICROBATCH = Backward.MICROBATCH.value


#: Not the undecoded bytes of a command line: with a length to count, pydantic refuses them.
Text = Annotated[str, Field(min_length=0)]

#: How many there are of something, or a label.
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]

Labels = Annotated[tuple[Count, ...], BeforeValidator(split_labels)]


def _default_classes(values: dict[str, Any]) -> tuple[int, ...]:
    """The seed's classes; for a network of the user's all that the data set has."""
    return DEFAULT_CLASSES if values.get("network") == BUILT_IN else ()


class RunConfig(Immutable, UpdateConfig, Architecture):
    """One training, from its data to its last iteration. Defaults are the seed's numbers."""

    network: Annotated[
        str, Field(min_length=1, description="built-in, or a Python file with a network of yours")
    ] = BUILT_IN
    options: Annotated[
        dict[str, Option], Field(max_length=MOST_OPTIONS, description="options of your network")
    ] = Field(default_factory=dict)
    #: Found by the check of a user's network as the run is submitted; part of its stored record.
    network_facts: NetworkFacts | None = None
    dataset: Annotated[
        str,
        Field(
            min_length=1,
            description="digits, mnist, cifar10, breast_cancer, wine, diabetes, or the path of an "
            ".npz file",
        ),
    ] = "digits"
    data_dir: Annotated[
        Text | None,
        Field(description="directory of MNIST's or CIFAR-10's files [TAPEWORKS_DATA_DIR]"),
    ] = None
    classes: Annotated[
        Labels,
        Field(
            max_length=MOST_CLASSES,
            description="labels to tell apart, two or more, such as 3,6 or 0-9, or all; with a "
            "network of yours: all",
        ),
    ] = Field(default_factory=_default_classes)
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
        if len(self.classes) < (2 if self.is_built_in else 0) or len(self.classes) == 1:
            received = f"classes={format_value(self.classes)}"
            raise ValueError(f"Expected two classes or more. Received: {received}")
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
    def _network_reads_all(self) -> Self:
        if self.is_built_in and self.options:
            raise ValueError(
                "The built-in network has no options; name a network of yours with network, or "
                f"leave them out. Received: option {min(self.options)}"
            )
        if self.is_built_in and self.gradients is GradientChoice.MICROBATCH:
            raise ValueError(
                "The built-in network computes every image's gradient; choose gradients=summed "
                "for little traffic. Received: gradients=microbatch"
            )
        if not self.is_built_in and not self.network.endswith(".py"):
            raise ValueError(
                f"Expected {BUILT_IN} or a Python file, which ends in .py. "
                f"Received: network={self.network}"
            )
        for name, field in Architecture.model_fields.items():
            if not self.is_built_in and getattr(self, name) != field.default:
                raise ValueError(
                    f"Only the built-in network reads {name}; a network of yours has options. "
                    f"Received: {name}={format_value(getattr(self, name))} network={self.network}"
                )
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        if not self.is_built_in:
            return self
        network = self.built_in
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
        values = given
        if isinstance(given, Mapping):
            values = plain_values(fold_options(given), cls.model_fields)
        try:
            return validate(values)
        except ValidationError as error:
            raise ConfigurationError(sentence(error)) from None  # which has pydantic's words

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # options stand in a dictionary

    @property
    def images_in_an_iteration(self) -> int:
        """Images that an iteration averages over; the last of a pass may have fewer."""
        return self.images_per_iteration or self.images

    @property
    def gradient_form(self) -> GradientForm:
        """The form in which workers return gradients; the bits of a run are the same in either."""
        if self.gradients in {GradientChoice.PER_IMAGE, GradientChoice.SUMMED}:
            return GradientForm(self.gradients.value)
        if not self.is_built_in:
            return GradientForm.SUMMED
        per_image_bytes = 4 * self.spec.parameter_count * self.images_in_an_iteration
        is_small = per_image_bytes <= MOST_PER_IMAGE_BYTES
        return GradientForm.PER_IMAGE if is_small else GradientForm.SUMMED

    @property
    def gradient_choice(self) -> GradientChoice:
        """The choice of gradients, made where it was left open."""
        if self.gradients is not GradientChoice.AUTO:
            return self.gradients
        if not self.is_built_in:
            return GradientChoice.MICROBATCH
        return GradientChoice(self.gradient_form.value)

    @property
    def recording_interval(self) -> int:
        """Iterations from one that is recorded in full to the next; 1: all of them are."""
        is_small = self.images_in_an_iteration <= MOST_IMAGES_ALWAYS_RECORDED
        return self.record_images_every or (1 if is_small else RECORDING_INTERVAL)

    @property
    def is_built_in(self) -> bool:
        """True for the seed's network, false for a user's."""
        return self.network == BUILT_IN

    @property
    def spec(self) -> AnyNetwork:
        """The part of the configuration that decides what a microbatch's computation is.

        Raises `ConfigurationError` for a user's network that is not checked yet.
        """
        if self.is_built_in:
            return self.built_in
        if self.network_facts is None:
            raise ConfigurationError(f"Expected a checked network. Received: {self.network}.")
        return OwnNetwork(
            **{name: getattr(self.network_facts, name) for name in NetworkFacts.model_fields},
            options=tuple(sorted(self.options.items())),
            class_count=len(self.classes),
            microbatch_size=self.images_in_a_microbatch,
        )

    @property
    def built_in(self) -> BuiltinNetwork:
        return BuiltinNetwork(
            image_side=self.image_side,
            kernel_sizes=self.kernel_sizes,
            filters=self.filters,
            class_count=len(self.classes),
            unfolding=self.unfolding,
            microbatch_size=self.images_in_a_microbatch,
        )

    @property
    def images_in_a_microbatch(self) -> int:
        """The configured size, or the default."""
        return self.microbatch_size or default_microbatch_size(self.images_in_an_iteration)


RunConfig.__doc__ = f"{RunConfig.__doc__}\n\n{describe_settings(RunConfig.model_fields)}"


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


def list_values(name: str) -> list[str]:
    """The values of a setting that has one of a few; none of any other."""
    members = getattr(RunConfig.model_fields[name].annotation, "__members__", {})
    return [member.value for member in members.values()]


def record(config: RunConfig) -> dict[str, Any]:
    """The stored form of a configuration: its settings, and the order of sums."""
    return config.model_dump(mode="json") | {"sum_order": SUM_ORDER}


def extract_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings alone of a stored configuration."""
    return {name: value for name, value in record.items() if name != "sum_order"}


def restore_config(record: Mapping[str, Any]) -> RunConfig:
    """The configuration that was stored so; raises like `run_config`."""
    return run_config(extract_settings(record))
