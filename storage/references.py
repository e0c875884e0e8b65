"""Names of runs: their ids, their names, and what people type to mean one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from tapeworks.storage.errors import (
    AmbiguousRun,
    InvalidLine,
    InvalidName,
    InvalidPriority,
    InvalidTag,
    RunNotFound,
)
from tapeworks.storage.records import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunRecord
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import runs

NAME = re.compile(r"(?! )[\w .:-]{1,80}(?<! )")
TAG_KEY = re.compile(r"[\w.-]{1,40}")

#: An id of `new_run_ids`.
RUN_ID = re.compile(r"\d{8}-\d{9}-[0-9a-f]{6}")

#: Ids that an `AmbiguousRun` lists at most.
LISTED_CANDIDATES = 10


def new_run_ids(now: datetime, count: int) -> list[str]:
    """Ids that sort by time, and in their order: YYYYMMDD-HHMMSSmmm-xxxxxx, in UTC."""
    first = secrets.randbelow(2**24 - count)
    moment = f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03}"
    return [f"{moment}-{number:06x}" for number in range(first, first + count)]


def validate_name(name: str | None) -> str | None:
    if name is not None and not _matches(NAME, name):
        raise InvalidName(name)
    return name


def validate_tags(tags: Mapping[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if not _matches(TAG_KEY, key) or not _is_line(value, 200):
            raise InvalidTag(key, value)
    return dict(tags)


def validate_line(kind: str, text: str | None) -> str | None:
    """A note or a reason. Raises `InvalidLine`."""
    if text is not None and not _is_line(text, 1000):
        raise InvalidLine(kind, text)
    return text


def validate_priority(priority: int) -> int:
    """A priority as it is. Raises `InvalidPriority`."""
    if type(priority) is not int or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise InvalidPriority(priority, LOWEST_PRIORITY, HIGHEST_PRIORITY)
    return priority


def _matches(pattern: re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_line(text: Any, longest: int) -> bool:
    is_short = isinstance(text, str) and 0 < len(text) <= longest
    return is_short and text.isprintable() and _is_unicode(text)


def run_by_id(connection: Connection, run_id: str) -> RunRecord:
    found = fetch(connection, RunRecord, all_of(RunRecord).where(runs.c.id == run_id))
    if not found:
        raise RunNotFound(run_id)
    return found[0]


def find_run(connection: Connection, reference: str) -> RunRecord:
    """The run with this id, else the newest with this name, else the one whose id starts so."""
    try:
        return _find_one(connection, reference)
    except RunNotFound:
        names = [run.name or run.id for run in _find_grid(connection, reference)]
        raise RunNotFound(reference, names) from None


def _find_one(connection: Connection, reference: str) -> RunRecord:
    if not _is_unicode(reference) or "\0" in reference:
        raise RunNotFound(reference)  # no database can be asked for it
    run_id = (
        _id_of_id(connection, reference)
        or _id_of_name(connection, reference)
        or _id_of_start(connection, reference)
    )
    return run_by_id(connection, run_id)


def find_runs(connection: Connection, reference: str) -> list[RunRecord]:
    """The run that is meant, or those of the newest grid of this name: name-1, name-2, …

    Of a run that was retried under its name it is the newest retry.
    """
    try:
        return [_find_one(connection, reference)]
    except RunNotFound:
        grid = _find_grid(connection, reference)
        if not grid:
            raise
        return grid


def _find_grid(connection: Connection, name: str) -> list[RunRecord]:
    if not _matches(NAME, name):
        return []
    numbered = runs.c.name.startswith(f"{name}-", autoescape=True)
    newest_first = select(runs.c.id, runs.c.name, runs.c.parent_id).where(numbered)
    rows = connection.execute(newest_first.order_by(runs.c.id.desc())).all()
    rows = [row for row in rows if row.name.removeprefix(f"{name}-").isdecimal()]
    newest = _follow_retries(rows, _choose_newest_grid(rows))
    by_id = all_of(RunRecord).where(runs.c.id.in_(newest.values()))
    found = {run.id: run for run in fetch(connection, RunRecord, by_id)}
    return [found[run_id] for run_id in newest.values()]


def _choose_newest_grid(rows: Sequence[Any]) -> dict[str, str]:
    """Ids by name of the newest runs that were submitted at once, else of the newest run.

    `rows` are numbered runs, the newest first.
    """
    grids = dict[str, dict[str, str]]()
    for row in rows:
        if row.parent_id is None:
            grids.setdefault(row.id.rpartition("-")[0], {})[row.name] = row.id
    several = (dict(reversed(grid.items())) for grid in grids.values() if len(grid) > 1)
    return next(several, next(iter(grids.values()), {}))


def _follow_retries(rows: Sequence[Any], grid: dict[str, str]) -> dict[str, str]:
    """The same with the newest retry in place of each run that was retried under its name."""
    newest, members = dict(grid), set(grid.values())
    for row in reversed(rows):
        if row.parent_id in members and row.name in newest:
            members.add(row.id)
            newest[row.name] = row.id
    return newest


def _id_of_id(connection: Connection, reference: str) -> str | None:
    return connection.scalar(select(runs.c.id).where(runs.c.id == reference))


def _id_of_name(connection: Connection, reference: str) -> str | None:
    named = select(runs.c.id).where(runs.c.name == reference)
    newest_first = named.order_by(runs.c.created_at.desc(), runs.c.id.desc())
    return connection.scalar(newest_first.limit(1))


def _id_of_start(connection: Connection, reference: str) -> str:
    start = func.substr(runs.c.id, 1, len(reference))
    query = select(runs.c.id).where(start == reference).order_by(runs.c.id)
    found = connection.scalars(query.limit(LISTED_CANDIDATES)).all()
    if not found or not reference:
        raise RunNotFound(reference)
    if len(found) > 1:
        raise AmbiguousRun(reference, found)
    return str(found[0])


def _is_unicode(text: str) -> bool:
    """Check that it is free of the surrogates that stand for bytes a shell passed undecoded."""
    return text.encode(errors="replace").decode() == text
