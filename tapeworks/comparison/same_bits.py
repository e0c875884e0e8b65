"""Compares the bits of runs of one configuration, and finds where they part."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tapeworks.comparison.contenders import Contender, settings_of
from tapeworks.scheduler.differences import image_values_differences
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, IterationRecord, RunRecord

#: Settings that decide how a run is computed, what is kept of it, how it is evaluated and when it
#: ends, but none of an iteration's bits.
WITHOUT_INFLUENCE = frozenset(
    {
        "data_dir",
        "test_images",
        "evaluate_every",
        "patience",
        "gradients",
        "shards",
        "checkpoint_every",
        "record_images_every",
        "audit",
    }
)

#: Iterations wanted have no influence either, unless they decide how the learning rate goes.
CONSTANT_SCHEDULE = "constant"

#: What has the same bits in two equal iterations, after their images' values.
OF_AN_ITERATION = ("loss", "accuracy", "gradient_norm", "parameters_digest")

#: Iterations whose images' values are read at once.
AT_ONCE = 100

#: An iteration as it is stored, with its images' values if they are.
Stored = tuple[IterationRecord, ImageValues | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parting:
    """The first thing that two runs do not share."""

    iteration: int | None  #: None before the first one
    what: str
    values: tuple[str, str]  #: of the one and of the other; numbers with all their digits
    image: int | None = None  #: its number in the run's data, if it is one image's value

    def __str__(self) -> str:
        image = "" if self.image is None else f" of image {self.image}"
        where = "" if self.iteration is None else f" in iteration {self.iteration}"
        return f"the {self.what}{image}{where}: {self.values[0]} against {self.values[1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two runs of one configuration."""

    one: str  #: a run's id
    other: str
    iterations: int  #: that both have
    recorded: int  #: of them those of which both have the images' values, which are compared
    parting: Parting | None  #: None: all that both have has the same bits
    promised: bool  #: whether all workers had one fingerprint, which promises the same bits


def pairs(history: History, contenders: Sequence[Contender]) -> list[Pair]:
    """The runs of each configuration that several have: the first of them beside each other one."""
    groups = defaultdict(list)
    for one in contenders:
        groups[_what_decides(one.run)].append(one)
    return [_pair(history, group[0], other) for group in groups.values() for other in group[1:]]


def first_parting(ones: Iterable[Stored], others: Iterable[Stored]) -> Parting | None:
    """Find where the bits part, of iterations with equal numbers."""
    partings = (_parting(one, other) for one, other in zip(ones, others, strict=True))
    return next((parting for parting in partings if parting), None)


def _what_decides(run: RunRecord) -> str:
    settings = settings_of(run)
    without = set(WITHOUT_INFLUENCE)
    if settings.get("schedule", CONSTANT_SCHEDULE) == CONSTANT_SCHEDULE:
        without.add("iterations")
    return json.dumps({name: settings[name] for name in sorted(set(settings) - without)})


def _pair(history: History, one: Contender, other: Contender) -> Pair:
    common = {record.iteration for record in one.iterations}
    common &= {record.iteration for record in other.iterations}
    recorded = common.intersection(
        *(history.recorded_iterations(contender.run.id) for contender in (one, other))
    )
    at_first = _before_the_first(history, one.run, other.run)
    return Pair(
        one=one.run.id,
        other=other.run.id,
        iterations=len(common),
        recorded=len(recorded),
        parting=at_first
        or first_parting(_stored(history, one, common), _stored(history, other, common)),
        promised=one.run.fingerprint == other.run.fingerprint
        and not settings_of(one.run)["allow_mixed_workers"],
    )


def _before_the_first(history: History, one: RunRecord, other: RunRecord) -> Parting | None:
    """Other images or, of runs that begin at one iteration, other parameters to begin with."""
    images = one.images_digest, other.images_digest
    if all(images) and images[0] != images[1]:
        return Parting(iteration=None, what="images", values=(str(images[0]), str(images[1])))
    begins = one.first_iteration
    if begins != other.first_iteration:
        return None
    initial = [history.unverified_checkpoint(run.id, begins).digest for run in (one, other)]
    if initial[0] != initial[1]:
        return Parting(iteration=None, what="initial parameters", values=(initial[0], initial[1]))
    return None


def _stored(history: History, run: Contender, wanted: set[int]) -> Iterator[Stored]:
    """The wanted iterations in order, their images' values read as they are needed."""
    records = [record for record in run.iterations if record.iteration in wanted]
    for start in range(0, len(records), AT_ONCE):
        part = records[start : start + AT_ONCE]
        values = history.image_values_of(run.run.id, [record.iteration for record in part])
        for record in part:
            yield record, values.get(record.iteration)


def _parting(one: Stored, other: Stored) -> Parting | None:
    (record, values), (other_record, other_values) = one, other
    if values and other_values:
        for what, mine, theirs, place in image_values_differences(values, other_values):
            return Parting(
                iteration=record.iteration,
                what=what,
                values=(str(mine), str(theirs)),
                image=None if place is None else _image_at(values, place),
            )
    for name in OF_AN_ITERATION:
        # Python writes different floats differently, also 0.0 and -0.0.
        mine, theirs = str(getattr(record, name)), str(getattr(other_record, name))
        if mine != theirs:
            what = name.replace("_", " ")
            return Parting(iteration=record.iteration, what=what, values=(mine, theirs))
    return None


def _image_at(values: ImageValues, place: int) -> int:
    if values.image_numbers is None:
        return place
    return int(np.frombuffer(values.image_numbers, "<i4")[place])
