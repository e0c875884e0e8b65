"""Labels of runs beside each other: short, and each one of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tapeworks.comparison.contenders import differing_settings
from tapeworks.describe import setting_text
from tapeworks.storage.records import RunRecord

#: Characters of a label; more are cut out of its middle.
LONGEST_LABEL = 44

#: Characters at the end of an id, which are its random part.
TAIL = 6


def reference_labels(runs: Sequence[RunRecord]) -> list[str]:
    """For a table: the name of a run that no other one has, else its id."""
    times = Counter(run.name for run in runs)
    return [run.name if run.name and times[run.name] == 1 else run.id for run in runs]


def picture_labels(runs: Sequence[RunRecord]) -> list[str]:
    """For a picture: the name of a run that no other one has, else the settings that differ.

    They are those that differ among the runs without a name of their own. What two of those share
    all the same is told apart by the end of their ids.
    """
    times = Counter(run.name for run in runs)
    nameless = [run for run in runs if not run.name or times[run.name] > 1]
    by_settings = dict(zip((run.id for run in nameless), _by_settings(nameless), strict=True))
    return [by_settings.get(run.id) or shortened(run.name or run.id) for run in runs]


def shortened(text: str) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= LONGEST_LABEL:
        return text
    half = (LONGEST_LABEL - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _by_settings(runs: Sequence[RunRecord]) -> list[str]:
    columns = {
        name: list(map(setting_text, column)) for name, column in differing_settings(runs).items()
    }
    labels = _joined(columns, len(runs))
    while max(map(len, labels), default=0) > LONGEST_LABEL:
        spare = _spare(columns)
        if spare is None:
            break
        del columns[spare]
        labels = _joined(columns, len(runs))
    names = [label or run.name or run.id for label, run in zip(labels, runs, strict=True)]
    return _unique([shortened(name) for name in names], runs)


def _joined(columns: dict[str, list[str]], runs: int) -> list[str]:
    return [
        " ".join(f"{name}={column[place]}" for name, column in columns.items())
        for place in range(runs)
    ]


def _spare(columns: dict[str, list[str]]) -> str | None:
    """The last setting without which as many runs are told apart."""
    rows = len(set(zip(*columns.values(), strict=True)))
    for name in reversed(columns):
        others = [column for other, column in columns.items() if other != name]
        if others and len(set(zip(*others, strict=True))) == rows:
            return name
    return None


def _unique(labels: list[str], runs: Sequence[RunRecord]) -> list[str]:
    times = Counter(labels)
    return [
        label if times[label] == 1 else f"{label} …{run.id[-TAIL:]}"
        for label, run in zip(labels, runs, strict=True)
    ]
