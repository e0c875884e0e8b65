"""A user's network as data: what the check of its file has found."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from tapeworks.model.networks.spec import (
    GRADIENT_NORMS,
    LOSSES,
    PREDICTIONS,
    ArrayKind,
    Digest,
    GradientForm,
    Network,
    Shape,
)

#: Numbers that a network may train: their sum in float64 is as long as a usual answer.
MOST_PARAMETERS = 2**23

#: Arrays that a network may train, dimensions of any array, characters of a name.
MOST_ARRAYS, MOST_DIMENSIONS, LONGEST_NAME = 1024, 8, 100

#: Characters of a network's source text, its options, and characters of an option's text.
LONGEST_SOURCE, MOST_OPTIONS, LONGEST_TEXT = 256 * 1024, 64, 4000

#: Bytes of that text in UTF-8.
LONGEST_SOURCE_BYTES = 4 * LONGEST_SOURCE

#: Bytes of the gradients that one call computes apart, unless a single image's are more.
CALL_BYTES = 32 * 2**20

#: Bytes of what stands about an array before those of safetensors, beside its name: its dtype, its
#: shape, and where it begins and ends.
ARRAY_HEADER_BYTES = 256

#: Seconds of one floating-point operation of a forward pass, as TensorFlow counts them, with the
#: backward pass that follows: measured on a core of an AMD EPYC with AVX-512.
OPERATION_SECONDS = 3e-10

_Side = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Shape = Annotated[tuple[_Side, ...], Field(max_length=MOST_DIMENSIONS)]
_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00]*$")]
_Text = Annotated[StrictStr, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]

#: Names that arrays of parameters cannot have: those of other arrays beside them, and the one that
#: safetensors keeps for itself.
RESERVED_NAMES = frozenset({LOSSES, GRADIENT_NORMS, PREDICTIONS, "__metadata__"})


def _refuse_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"Expected another name than {name}.")
    return name


_ArrayName = Annotated[_Name, AfterValidator(_refuse_reserved)]

#: The largest whole number among options, up to which a float holds each; the largest other one.
LARGEST_NUMBER, LARGEST_FLOAT = 2**53, 1.7e308

_Whole = Annotated[StrictInt, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
_Real = Annotated[StrictFloat, Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, allow_inf_nan=False)]

#: The value of an option.
Option = StrictBool | _Whole | _Real | _Text


def is_option(value: Option) -> bool:
    """Check that a value is finite and short enough to be an option's."""
    if isinstance(value, str):
        is_text = not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value)
        return is_text and len(value) <= LONGEST_TEXT
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) <= LARGEST_FLOAT
    return abs(value) <= LARGEST_NUMBER


class Backward(StrEnum):
    """The ways in which gradients are computed."""

    MICROBATCH = "microbatch"  #: one pass over the sum of a microbatch's losses
    VECTORIZED = "vectorized"  #: every image's gradient, all images of a microbatch at once
    LOOP = "loop"  #: every image's gradient, one image after the other


class NetworkFacts(BaseModel):
    """The facts of a user's network that only running it on its data shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_digest: Digest
    #: Name and shape of each parameter array, in the network's order.
    arrays: Annotated[
        tuple[tuple[_ArrayName, _Shape], ...], Field(min_length=1, max_length=MOST_ARRAYS)
    ]
    input_shape: _Shape  #: of one image
    input_kind: ArrayKind
    target_shape: _Shape  #: of one label
    target_kind: ArrayKind
    has_logits: bool
    backward: Backward
    #: Floating-point operations of an image's loss.
    operations: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class OwnNetwork(Network, NetworkFacts):
    """A user's network with its options, for so many classes."""

    kind: Literal["own"] = "own"
    #: Keyword-only arguments of the file's functions, by name.
    options: Annotated[tuple[tuple[_Name, Option], ...], Field(max_length=MOST_OPTIONS)] = ()
    class_count: Annotated[int, Field(ge=0, le=256)] = 0  #: 0: its labels are no classes

    @property
    def title(self) -> str:
        return f"the network {self.source_digest[:12]}"

    @property
    def digest(self) -> str:
        return self.source_digest

    @property
    def shapes(self) -> dict[str, Shape]:
        return dict(self.arrays)

    @property
    def image_shape(self) -> Shape:
        return self.input_shape

    @property
    def image_kind(self) -> ArrayKind:
        return self.input_kind

    @property
    def label_shape(self) -> Shape:
        return self.target_shape

    @property
    def label_kind(self) -> ArrayKind:
        return self.target_kind

    @property
    def classes_predicted(self) -> int | None:
        return self.class_count if self.has_logits else None

    def has_norms(self, wanted: GradientForm) -> bool:
        is_apart = self.backward is not Backward.MICROBATCH
        return is_apart and wanted is not GradientForm.NOTHING

    @property
    def microbatch_bytes(self) -> int:
        """Images and labels in four bytes each, and every gradient that is made of them."""
        apart = 1 if self.backward is Backward.MICROBATCH else self.microbatch_size
        numbers = math.prod(self.input_shape) + math.prod(self.target_shape)
        return 4 * self.microbatch_size * numbers + (4 * apart + 8) * self.parameter_count

    @property
    def images_at_once(self) -> int:
        """Images whose gradients are computed apart in one call."""
        return min(max(CALL_BYTES // (4 * self.parameter_count), 1), self.microbatch_size)

    @property
    def header_bytes(self) -> int:
        """A name may grow sixfold where it is escaped; beside it stand a shape and two places."""
        names = sum(6 * len(name.encode()) for name, _ in self.arrays)
        return super().header_bytes + names + ARRAY_HEADER_BYTES * len(self.arrays)

    @property
    def slice_bytes(self) -> int:
        return self.microbatch_bytes

    @property
    def fits(self) -> bool:
        return self.parameter_count <= MOST_PARAMETERS and self.is_computable

    @property
    def compiled_as(self) -> OwnNetwork:
        return self

    @property
    def image_seconds(self) -> float:
        return self.operations * OPERATION_SECONDS
