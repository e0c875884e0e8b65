"""A comparison as people read it: a table, and sentences about the bits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Sequence

from tapeworks.cli.outputs.describe import setting_text, share_text
from tapeworks.cli.outputs.printing import table_width
from tapeworks.comparison.runs import (
    Contender,
    Pair,
    differing_facts,
    differing_settings,
    mean_loss,
)
from tapeworks.storage.records import EvaluationRecord, IterationRecord, RunRecord, loss_text

#: Characters of a label; more are cut out of its middle.
LONGEST_LABEL = 44

#: Characters at the end of an id, which are its random part.
TAIL = 6

#: Characters of a line up to which every run has a column; beyond that, every run has a row.
WIDEST = 100

#: Hexadecimal digits that are shown of a digest.
DIGITS = 8

#: The end of a name that a grid has numbered.
_NUMBERED = re.compile(r"-\d+$")

#: Stands where a run has no value.
NONE = "-"

#: What has a loss over so many images.
Measured = IterationRecord | EvaluationRecord

Table = tuple[list[str], list[list[str]]]


def reference_labels(runs: Sequence[RunRecord]) -> list[str]:
    """For a table: the name of a run that no other one has, else its id."""
    times = Counter(run.name for run in runs)
    return [run.name if run.name and times[run.name] == 1 else run.id for run in runs]


def picture_labels(runs: Sequence[RunRecord]) -> list[str]:
    """For a picture: the name of a run that no other one has, else the settings that differ.

    They are those that differ among the runs without a name of their own, or with one that a grid
    numbered: `name-1`, `name-2`. What two of those share all the same is told apart by the end of
    their ids.
    """
    times = Counter(_stem(run) for run in runs)
    nameless = [run for run in runs if not run.name or times[_stem(run)] > 1]
    by_settings = dict(zip((run.id for run in nameless), _by_settings(nameless), strict=True))
    return [by_settings.get(run.id) or shorten(run.name or run.id) for run in runs]


def named_labels(runs: Sequence[RunRecord]) -> list[str]:
    """For a page: those for a picture, with the name of each run before the settings."""
    return [
        label if label.startswith(name := shorten(run.name or run.id)) else f"{name} · {label}"
        for run, label in zip(runs, picture_labels(runs), strict=True)
    ]


def _stem(run: RunRecord) -> str | None:
    """The name without the number of a grid's run."""
    return run.name and _NUMBERED.sub("", run.name)


def describe_settings(runs: Sequence[RunRecord], without: Container[str] = ()) -> list[str]:
    """Of each run the settings in which these runs differ, without some and in short."""
    columns = {
        name: list(map(setting_text, column))
        for name, column in differing_settings(runs).items()
        if name not in without
    }
    labels = _join_columns(columns, len(runs))
    while max(map(len, labels), default=0) > LONGEST_LABEL:
        spare = _spare(columns)
        if spare is None:
            break
        del columns[spare]
        labels = _join_columns(columns, len(runs))
    return [shorten(label) for label in labels]


def shorten(text: str) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= LONGEST_LABEL:
        return text
    half = (LONGEST_LABEL - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _by_settings(runs: Sequence[RunRecord]) -> list[str]:
    labels = describe_settings(runs)
    names = [label or shorten(run.name or run.id) for label, run in zip(labels, runs, strict=True)]
    return _unique(names, runs)


def _join_columns(columns: dict[str, list[str]], runs: int) -> list[str]:
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


def table(contenders: Sequence[Contender], labels: Sequence[str], at: Sequence[int]) -> Table:
    """Headers and rows: a column for every run, or a row if that would be too wide."""
    lines = comparison_lines(contenders, at)
    upright = ["", *labels], [[name, *texts] for name, texts in lines.items()]
    if table_width(*upright) <= WIDEST:
        return upright
    headers = ["RUN", *(name.upper() for name in lines)]
    return headers, [list(row) for row in zip(labels, *lines.values(), strict=True)]


def bits_lines(pairs: Sequence[Pair], labels: dict[str, str]) -> list[str]:
    """A sentence about each pair of one configuration; `labels` are those of the runs, by id."""
    if not pairs:
        return ["No two of these runs have one configuration, so no bits are compared."]
    return [_sentence(pair, labels[pair.one], labels[pair.other]) for pair in pairs]


def comparison_lines(
    contenders: Sequence[Contender], at: Sequence[int] = ()
) -> dict[str, list[str]]:
    """Return the table's lines by their names, a text for every run."""
    different = differing_settings([one.run for one in contenders])
    lines = {
        name: [_short(name, value) for value in values]
        for name, values in (different | differing_facts(contenders)).items()
    }
    lines |= _losses(contenders, at)
    if any(one.evaluations for one in contenders):
        lines |= _evaluations(contenders)
    lines["parameters"] = [one.run.parameters_digest[:DIGITS] for one in contenders]
    lines["history"] = [one.history_digest[:DIGITS] for one in contenders]
    return lines


def _short(name: str, value: object) -> str:
    text = setting_text(value)
    return text[:DIGITS] if name in {"images_digest", "network_digest"} else text


def _losses(contenders: Sequence[Contender], at: Sequence[int]) -> dict[str, list[str]]:
    """Sums over the images, or losses per image where sums do not compare."""
    records = [list(one.curve) for one in contenders]
    share = _differ(records)
    unit = " per image" if share else ""
    lines = {f"first loss{unit}": [_loss(one[:1], share) for one in records]}
    for place in at:
        chosen = [[record for record in one if record.iteration == place] for one in records]
        lines[f"loss in {place}"] = [_loss(one, share) for one in chosen]
    lowest = [[one.lowest] if one.lowest else [] for one in contenders]
    lines["lowest"] = [
        f"{_loss(one, share)} in {one[0].iteration}" if one else NONE for one in lowest
    ]
    return lines | {"final": [_loss(one[-1:], share) for one in records]}


def _evaluations(contenders: Sequence[Contender]) -> dict[str, list[str]]:
    """Of the newest parameters that were evaluated, and the best ones if there are others."""
    newest = [list(one.evaluations[-1:]) for one in contenders]
    share = _differ(newest)
    lines = {
        f"held-out loss{' per image' if share else ''}": [_loss(one, share) for one in newest],
        "held-out accuracy": [share_text(one[0].accuracy) if one else NONE for one in newest],
    }
    if any(len(one.evaluations) > 1 for one in contenders):
        lines["best held-out accuracy"] = [_best(one.best) for one in contenders]
    return lines


def _best(found: EvaluationRecord | None) -> str:
    if found is None:
        return NONE
    return f"{share_text(found.accuracy)} after {found.completed_iterations}"


def _differ(records: Sequence[Sequence[Measured]]) -> bool:
    """Check that they are of different numbers of images."""
    return len({record.images for one in records for record in one}) > 1


def _loss(record: Sequence[Measured], share: bool) -> str:
    """Of one or no record."""
    if not record:
        return NONE
    value = mean_loss(record[0]) if share else record[0].loss
    return loss_text(value)


def _sentence(pair: Pair, one: str, other: str) -> str:
    both = f"{one} and {other} have one configuration"
    if pair.parting is not None:
        hint = "" if pair.promised else " Their workers promise no equal bits: mixed fingerprints."
        return f"{both} and differ first in {pair.parting}.{hint}"
    if not pair.iterations:
        return f"{both} and no iteration that both have."
    count = f"{pair.iterations} {'iteration' if pair.iterations == 1 else 'iterations'}"
    if pair.recorded == pair.iterations:
        return f"{both} and the same bits in all {count} that both have."
    return (
        f"{both} and the same bits in all {count} that both have; the values of single images were "
        f"compared in the {pair.recorded} of which both have them."
    )
