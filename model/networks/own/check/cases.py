"""The cases of a check, and its findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tapeworks.model.networks.own.spec import Backward, NetworkFacts, Option
from tapeworks.model.parameters import Arrays


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """The first images of a run, a microbatch at the most."""

    images: NDArray[Any]  #: (n, *image_shape) of uint8 or float32
    labels: NDArray[Any]  #: (n, *label_shape)
    class_count: int  #: 0: the labels are targets


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One network to check, with options and a seed, on some images of its data."""

    name: str  #: of the file, for people
    source: str
    options: Mapping[str, Option]  #: as they were given; of a command line all are text
    seed: int
    is_per_image: bool  #: gradients are wanted image by image
    microbatch_size: int
    sample: Sample
    is_measured: bool = False  #: both ways to compute gradients are tried, and timed


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """The time of one way to compute gradients, or the sentence that says why there is none."""

    backward: Backward | None
    image_seconds: float
    refusal: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """The facts of a checked network, and where its training begins."""

    facts: NetworkFacts
    options: dict[str, Option]  #: all of them, in their own types
    parameters: Arrays
    speeds: tuple[Speed, ...]  #: of gradients of a microbatch, then image by image; if measured
    printed: str  #: by the file


class Refusal(Exception):
    """A network breaks the contract; made where the user's code runs."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


def name_place(name: str, line: int | None) -> str:
    """A file, and a line of it if it is known."""
    return name if line is None else f"{name} line {line}"
