"""The differences of runs: their settings, what else is known of them, their losses."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapeworks.cli.outputs.describe import spread_options
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.replay.differences import image_values_differences
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    ImageValues,
    IterationRecord,
    Metric,
    RunRecord,
    best,
)

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

#: What is compared of a run beside its settings and its numbers.
FACTS = (
    *("status", "completed_iterations", "note", "fingerprint", "images_digest"),
    "network_digest",
)


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
    settings = settings_of(run) | {"network": run.network_digest}  # whatever its file is called
    facts = run.configuration.get("network_facts") or {}
    settings["backward"] = facts.get("backward")  # of which each way has bits of its own
    without = set(WITHOUT_INFLUENCE)
    if settings.get("schedule", CONSTANT_SCHEDULE) == CONSTANT_SCHEDULE:
        without.add("iterations")
    return json.dumps({name: settings[name] for name in sorted(set(settings) - without)})


def _pair(history: History, one: Contender, other: Contender) -> Pair:
    common = {record.iteration for record in one.iterations}
    common &= {record.iteration for record in other.iterations}
    recorded = common.intersection(
        *(history.list_recorded_iterations(contender.run.id) for contender in (one, other))
    )
    at_first = _before_the_first(history, one.run, other.run)
    return Pair(
        one=one.run.id,
        other=other.run.id,
        iterations=len(common),
        recorded=len(recorded),
        parting=at_first
        or first_parting(_read_stored(history, one, common), _read_stored(history, other, common)),
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
    initial = [history.read_unverified_checkpoint(run.id, begins).digest for run in (one, other)]
    if initial[0] != initial[1]:
        return Parting(iteration=None, what="initial parameters", values=(initial[0], initial[1]))
    return None


def _read_stored(history: History, run: Contender, wanted: set[int]) -> Iterator[Stored]:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A run with all that is compared of it, but for its images' values."""

    run: RunRecord
    tags: dict[str, str]
    iterations: Sequence[IterationRecord]  #: its own
    curve: Sequence[IterationRecord]  #: after those of the runs that it goes on from
    evaluations: Sequence[EvaluationRecord]

    @property
    def losses(self) -> list[float]:
        """The loss history: of each iteration the sum over its images."""
        return [record.loss for record in self.iterations]

    @property
    def lowest(self) -> IterationRecord | None:
        """The iteration of its curve with the lowest loss per image, the first of several."""
        return min(self.curve, key=mean_loss, default=None)

    @property
    def best(self) -> EvaluationRecord | None:
        """The evaluation with the highest accuracy, the first of several."""
        return best(self.evaluations, Metric.ACCURACY)

    @property
    def history_digest(self) -> str:
        """The digest that runs with the same losses share, bit for bit."""
        from tapeworks.model.parameters import history_digest

        return history_digest(self.losses)


def contender(history: History, run: RunRecord) -> Contender:
    """All that the history says of this run and that is compared."""
    return Contender(
        run=run,
        tags=history.tags(run.id),
        iterations=history.iterations(run.id),
        curve=history.curve(run),
        evaluations=history.evaluations(run.id),
    )


def mean_loss(record: IterationRecord | EvaluationRecord) -> float:
    """The loss per image."""
    return record.loss / record.images


def settings_of(run: RunRecord) -> dict[str, Any]:
    """A run's settings; of those that are younger than the run, the defaults.

    Each option of its network is one, `option.NAME`.
    """
    defaults = RunConfig().model_dump(mode="json") | {"sum_order": None}
    return spread_options(defaults | run.configuration)


def differing_settings(runs: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """The settings that are not the same in all runs, each with the runs' values in their order."""
    return differing([settings_of(run) for run in runs])


def differing_facts(contenders: Sequence[Contender]) -> dict[str, list[Any]]:
    """Likewise what is known of the runs beside their settings, their tags among it."""
    facts = [{name: getattr(one.run, name) for name in FACTS} for one in contenders]
    tags = [{f"tag {key}": value for key, value in one.tags.items()} for one in contenders]
    return differing(facts) | differing(tags)


def differing(values: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The names whose values are not all equal, in the order in which they appear; None: absent."""
    names = dict.fromkeys(name for one in values for name in one)
    columns = {name: [one.get(name) for one in values] for name in names}
    return {name: column for name, column in columns.items() if _varies(column)}


def _varies(column: Sequence[Any]) -> bool:
    return any(value != column[0] for value in column)
