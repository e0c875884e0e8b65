"""The differences of runs: their settings, what else is known of them, their losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapeworks.model.config import RunConfig
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord

#: What is compared of a run beside its settings and its numbers.
FACTS = ("status", "completed_iterations", "note", "fingerprint", "images_digest")


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
        return max(self.evaluations, key=lambda one: one.accuracy, default=None)

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
    """A run's settings; of those that are younger than the run, the defaults."""
    return RunConfig().model_dump(mode="json") | {"sum_order": None} | run.configuration


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
