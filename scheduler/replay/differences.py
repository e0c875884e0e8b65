"""Comparison of an iteration in the history with the same iteration computed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.parameters import digest
from tapeworks.scheduler.outcomes import Computed, images_of
from tapeworks.storage.records import (
    CheckpointRecord,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
)

#: What the values of a single image are called, and the kind of each array.
OF_AN_IMAGE: dict[str, tuple[str, np.dtype[Any]]] = {
    "losses": ("loss", np.dtype("<f4")),
    "gradient_norms": ("gradient norm", np.dtype("<f4")),
    "predictions": ("prediction", np.dtype(np.uint8)),
    "image_numbers": ("number", np.dtype("<i4")),
}

#: Stands for what the history should hold and does not.
NOTHING = "nothing"

#: What differs, as the history has it, as it was computed, and the image's place, if it is one's.
_Found = tuple[str, object, object, int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first thing in a run's history that is not what was computed."""

    run_id: str
    iteration: int | None  #: None before the first one: the initial parameters
    what: str
    expected: str  #: what the history says; numbers with all their digits
    computed: str
    place: int | None = None  #: of the first image that differs, in the image set
    image: int | None = None  #: its number in the run's data; None if the image set has none there

    def __str__(self) -> str:
        before, inside = "before its first iteration", f"in iteration {self.iteration}"
        where = before if self.iteration is None else inside
        of = "" if self.place is None else f" of image {self.place} of the image set"
        number = "" if self.image is None else f" (number {self.image} in the data)"
        return (
            f"Run {self.run_id} differs first {where}: {self.what}{of}{number}. "
            f"Expected: {self.expected}. Computed: {self.computed}."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The records of one iteration in the history."""

    run: RunRecord
    record: IterationRecord
    ledger: Sequence[LedgerRecord]
    image_values: ImageValues | None
    is_recorded: bool  #: the run's settings have the images' values stored


def iteration_difference(stored: Stored, computed: Computed) -> Difference | None:
    """The first difference of an iteration, from its images to the parameters after it."""
    differing = chain(
        _of_ledger(stored.ledger, computed.images),
        _of_images(stored, computed.image_values),
        _of_numbers(stored, computed),
    )
    found = next(differing, None)
    if found is None:
        return None
    what, expected, received, place = found
    images = images_of(computed.outcomes)
    return Difference(
        run_id=stored.run.id,
        iteration=stored.record.iteration,
        what=what,
        expected=str(expected),
        computed=str(received),
        place=place,
        image=int(images[place]) if place in range(len(images)) else None,
    )


def checkpoint_difference(
    run: RunRecord, completed_iterations: int, checkpoint: CheckpointRecord | None, claimed: str
) -> Difference | None:
    """Compare the stored parameters' digest with the one that they and their iteration claim."""
    received = digest(checkpoint.parameters) if checkpoint else NOTHING
    is_initial = completed_iterations == run.first_iteration
    for expected in (checkpoint.digest if checkpoint else claimed, claimed):
        if expected != received:
            return Difference(
                run_id=run.id,
                iteration=None if is_initial else completed_iterations - 1,
                what="initial parameters" if is_initial else "stored parameters",
                expected=expected,
                computed=received,
            )
    return None


def state_difference(
    run: RunRecord, checkpoint: CheckpointRecord, computed: bytes | None
) -> Difference | None:
    """Compare the bits of the stored optimizer state with those of the computed one."""
    if checkpoint.optimizer_state == computed:
        return None
    return _of_state(run, checkpoint, digest(computed) if computed else NOTHING)


def compare_stored_state(run: RunRecord, checkpoint: CheckpointRecord) -> Difference | None:
    """Compare what the optimizer carries on, as it is stored, with the digest stored beside it."""
    stored = checkpoint.optimizer_state
    received = None if stored is None else digest(stored)
    if checkpoint.state_digest == received:
        return None
    found = _of_state(run, checkpoint, received or NOTHING)
    return replace(found, expected=checkpoint.state_digest or NOTHING)


def unusable_state(run: RunRecord, checkpoint: CheckpointRecord, reason: str) -> Difference:
    """A stored state that the run's optimizer cannot have left behind."""
    return _of_state(run, checkpoint, f"no iteration from it, since: {reason.rstrip('.')}")


def _of_state(run: RunRecord, checkpoint: CheckpointRecord, computed: str) -> Difference:
    is_initial = checkpoint.completed_iterations == run.first_iteration
    stored = checkpoint.optimizer_state
    return Difference(
        run_id=run.id,
        iteration=None if is_initial else checkpoint.completed_iterations - 1,
        what="initial optimizer state" if is_initial else "stored optimizer state",
        expected=digest(stored) if stored else NOTHING,
        computed=computed,
    )


def divergence(run_id: str, iteration: int) -> Difference:
    """An iteration that was committed, hence finite, and is not when it is computed again."""
    return Difference(
        run_id=run_id,
        iteration=iteration,
        what="loss or gradient",
        expected="a finite number",
        computed="NaN or infinity",
    )


def _of_ledger(ledger: Sequence[LedgerRecord], images: int) -> Iterator[_Found]:
    """Places of the image set that are not counted once, and places that it does not have."""
    changes = Counter({0: 0, images: 0})  # of the count, from one place to the next
    for entry in ledger:
        changes[entry.first_image] += 1
        changes[entry.first_image + entry.image_count] -= 1
    times = 0
    for place in sorted(changes):
        times += changes[place]
        wanted = 1 if 0 <= place < images else 0
        if times != wanted:
            yield "times counted", times, wanted, place


def _of_images(stored: Stored, computed: ImageValues) -> Iterator[_Found]:
    """Yield differences between images' values, where the history holds some or should."""
    if stored.image_values:
        yield from image_values_differences(stored.image_values, computed)
    elif stored.is_recorded:
        yield "images' values", NOTHING, _describe_values(computed), None


def image_values_differences(
    stored: ImageValues, computed: ImageValues
) -> Iterator[tuple[str, object, object, int | None]]:
    """Yield what differs, each of the two values, and the image's place if it belongs to one."""
    if stored == computed:
        return
    expected, received = _arrays(stored), _arrays(computed)
    if _layout(expected) == _layout(received):
        # The first image that differs; of its values the first.
        places = {name: _first_place(expected[name], received[name]) for name in expected}
        differing = {name: place for name, place in places.items() if place is not None}
        for name, place in sorted(differing.items(), key=lambda found: found[1]):
            yield OF_AN_IMAGE[name][0], expected[name][place], received[name][place], place
    yield "images' values", _describe_values(stored), _describe_values(computed), None


def _arrays(values: ImageValues) -> dict[str, NDArray[Any]]:
    """Return the arrays that are there, without a partial number that damage left at an end."""
    arrays = {}
    for name, (_, dtype) in OF_AN_IMAGE.items():
        content = getattr(values, name)
        if content is not None:
            whole = len(content) - len(content) % dtype.itemsize
            arrays[name] = np.frombuffer(content[:whole], dtype)
    return arrays


def _layout(arrays: dict[str, NDArray[Any]]) -> dict[str, int]:
    return {name: len(array) for name, array in arrays.items()}


def _describe_values(values: ImageValues) -> str:
    return ", ".join(f"{len(array)} {name}" for name, array in _arrays(values).items())


def _first_place(expected: NDArray[Any], received: NDArray[Any]) -> int | None:
    """Return the first place at which the bits differ, or None."""
    width = f"u{expected.itemsize}"
    places = np.flatnonzero(expected.view(width) != received.view(width))
    return int(places[0]) if len(places) else None


def _of_numbers(stored: Stored, computed: Computed) -> Iterator[_Found]:
    run, record = stored.run, stored.record
    pairs: list[tuple[str, object, object]] = [
        ("images", record.images, computed.images),
        ("loss", record.loss, computed.loss),
        ("accuracy", record.accuracy, computed.accuracy),
        ("gradient norm", record.gradient_norm, computed.gradient_norm),
        ("parameters", record.parameters_digest, computed.parameters_digest),
    ]
    if record.iteration == run.first_iteration:
        pairs.append(("the run's first loss", run.first_loss, computed.loss))
    if record.iteration == run.completed_iterations - 1:
        pairs.append(("the run's final loss", run.final_loss, computed.loss))
        pairs.append(("the run's parameters", run.parameters_digest, computed.parameters_digest))
    for what, expected, received in pairs:
        # Python writes different floats differently, also 0.0 and -0.0.
        if str(expected) != str(received):
            yield what, expected, received, None
