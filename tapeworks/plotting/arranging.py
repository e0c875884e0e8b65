"""Curves of many runs arranged by their settings: coloured by one, averaged over one, smoothed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.cli.outputs.describe import setting_text
from tapeworks.comparison.runs import differing_settings, settings_of
from tapeworks.comparison.texts import describe_settings
from tapeworks.errors import UsageError
from tapeworks.model.other_names import nearest_setting
from tapeworks.storage.records import RunRecord

if TYPE_CHECKING:
    from tapeworks.plotting.curves import Line

#: Settings that a sentence lists.
MOST_NAMES = 8

#: Of a run's configuration, but none that anybody sets.
NO_SETTINGS = frozenset({"network_facts", "sum_order"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrangement:
    """The wishes for the lines of several runs."""

    color_by: str | None = None  #: a setting whose values have a colour each
    mean_over: str | None = None  #: a setting; runs that differ in it alone are one line
    smooth: int | None = None  #: with how many iterations on either side each is averaged

    def resolve(self, runs: Sequence[RunRecord]) -> Arrangement:
        """The same with settings spelt as these runs have them. Raises `UsageError`."""
        color_by = self.color_by and _find_setting("color-by", self.color_by, runs)
        mean_over = self.mean_over and _find_setting("mean-over", self.mean_over, runs)
        different = _differing(runs)
        if mean_over and mean_over not in different:
            raise UsageError(
                f"Expected a setting in which these runs differ, for a mean over it: "
                f"{_list_names(different)}. Received: --mean-over {mean_over}"
            )
        if mean_over and mean_over == color_by:
            raise UsageError(
                f"Runs that differ in {mean_over} become one line, which has one colour; leave out "
                "--color-by, or name another setting."
            )
        return replace(self, color_by=color_by, mean_over=mean_over)


def arrange(
    lines: Sequence[Line], runs: Sequence[RunRecord], wanted: Arrangement
) -> tuple[Line, ...]:
    """The runs' lines as they are wanted; `wanted` is resolved, and `lines` are some of theirs."""
    by_id = {run.id: run for run in runs}
    if wanted.smooth:
        lines = [replace(one, smoothed=smooth(one.values, wanted.smooth)) for one in lines]
    if wanted.color_by:
        lines = [
            replace(one, colour=_describe(wanted.color_by, by_id[one.run_id])) for one in lines
        ]
    if wanted.mean_over:
        lines = _means(lines, by_id, wanted.mean_over)
    return tuple(lines)


def list_colours(runs: Sequence[RunRecord], color_by: str) -> tuple[str, ...]:
    """The values of the setting as lines have them, numbers in their order, else as they come."""
    values: dict[str, Any] = {
        _describe(color_by, run): settings_of(run).get(color_by) for run in runs
    }
    if all(isinstance(value, int | float) for value in values.values()):
        return tuple(sorted(values, key=values.__getitem__))
    return tuple(values)


def smooth(values: Sequence[float], beside: int) -> tuple[float, ...]:
    """The mean of each value with so many on either side, near an end with fewer on both."""
    column, last = np.asarray(values, np.float64), len(values) - 1
    reaches = [min(beside, place, last - place) for place in range(len(values))]
    return tuple(
        float(column[place - reach : place + reach + 1].mean())
        for place, reach in enumerate(reaches)
    )


def _find_setting(option: str, name: str, runs: Sequence[RunRecord]) -> str:
    settings = dict.fromkeys(key for run in runs for key in settings_of(run))
    known = [key for key in settings if key not in NO_SETTINGS]
    if (plain := name.replace("-", "_")) in known:
        return plain
    if name in known:
        return name
    near = nearest_setting(name, known)
    hint = f" Did you mean {near}?" if near else ""
    names = _list_names(_differing(runs))
    raise UsageError(
        f"Expected a setting of a run; these runs differ in {names}. "
        f"Received: --{option} {name}.{hint}"
    )


def _differing(runs: Sequence[RunRecord]) -> dict[str, list[Any]]:
    found = differing_settings(runs)
    return {name: column for name, column in found.items() if name not in NO_SETTINGS}


def _list_names(names: dict[str, Any]) -> str:
    listed = ", ".join(list(names)[:MOST_NAMES]) or "none"
    return f"{listed} and more" if len(names) > MOST_NAMES else listed


def _describe(setting: str, run: RunRecord) -> str:
    return f"{setting}={setting_text(settings_of(run).get(setting))}"


def _means(lines: Sequence[Line], runs: dict[str, RunRecord], mean_over: str) -> list[Line]:
    """A line for each group of runs that differ in nothing else."""
    drawn = [runs[one.run_id] for one in lines]
    labels = describe_settings(drawn, without={mean_over})
    others = {name: one for name, one in _differing(drawn).items() if name != mean_over}
    groups: dict[str, list[int]] = {}
    for place in range(len(lines)):
        key = repr([column[place] for column in others.values()])
        groups.setdefault(key, []).append(place)
    return [
        _mean([lines[place] for place in places], labels[places[0]] or f"mean over {mean_over}")
        for places in groups.values()
    ]


def _mean(lines: Sequence[Line], label: str) -> Line:
    """The mean where all of the lines have a value, with the lowest and the highest there."""
    first, count = lines[0], len(lines)
    places, values = _common(lines, lambda one: (one.iterations, one.values))
    _, smoothed = _common(lines, lambda one: (one.iterations, one.smoothed))
    after, evaluated = _common(lines, lambda one: (one.evaluated_after, one.evaluated))
    shown = smoothed if first.smoothed else values
    return replace(
        first,
        label=f"{label} ({count} {'run' if count == 1 else 'runs'})",
        runs=tuple(one.run_id for one in lines),
        iterations=places,
        values=_floats(values.mean(axis=0)),
        smoothed=_floats(smoothed.mean(axis=0)),
        low=_floats(shown.min(axis=0)),
        high=_floats(shown.max(axis=0)),
        evaluated_after=after,
        evaluated=_floats(evaluated.mean(axis=0)),
        evaluated_low=_floats(evaluated.min(axis=0)),
        evaluated_high=_floats(evaluated.max(axis=0)),
    )


def _common(
    lines: Sequence[Line],
    columns: Callable[[Line], tuple[Sequence[int], Sequence[float]]],
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The places that all lines have, and (lines, places) of their values there."""
    tables = [dict(zip(*columns(one), strict=False)) for one in lines]
    places = [place for place in tables[0] if all(place in table for table in tables)]
    values = np.array([[table[place] for place in places] for table in tables], np.float64)
    return tuple(places), values.reshape(len(lines), len(places))


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist())
