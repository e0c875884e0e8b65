"""Finding runs by what is known of them, and asking anything in SQL. Nothing is ever changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    bindparam,
    column,
    literal_column,
    select,
    table,
)

from storage.database import Database
from storage.errors import NotReadOnly
from storage.listing import Listing, listing
from storage.query_errors import Question, asked, unknown_column
from storage.read_only import DEFAULT_SECONDS, read_only
from storage.records import RunStatus
from storage.types import UtcDateTime
from storage.views import COLUMNS

_RUNS = table("runs", *map(column, COLUMNS["runs"]))
_TAGS = table("tags", *map(column, COLUMNS["tags"]))

#: Columns of the view `runs` that are never NULL and have an index: sorting by them is for free.
_ALWAYS_KNOWN = {"created_at", "id"}


def query(
    database: Database, sql: str, *, seconds: float = DEFAULT_SECONDS, limit: int | None = None
) -> Listing:
    """What one SELECT (or WITH … SELECT) finds, or its first rows.

    Raises `NotReadOnly` for whatever would do more than read, `QueryTimeout` after so many seconds,
    `UnknownColumn` and `UnknownTable` with the nearest name, and another `QueryError` with the
    database's words.
    """
    question = Question(sql=sql, seconds=seconds)
    as_it_is = {"no_parameters": True}  # a % in it is a %
    with read_only(database, seconds) as connection, asked(question):
        return _found(connection.exec_driver_sql(sql, execution_options=as_it_is), limit)


def find_runs(
    database: Database,
    *,
    where: str | None = None,
    status: Collection[RunStatus] = (),
    tags: Mapping[str, str] | None = None,
    since: datetime | None = None,
    sort: str = "created_at",
    descending: bool = True,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> Listing:
    """Runs as rows of the view `runs`: those that fulfil everything that is asked for.

    `where` is a condition in SQL over the view's columns; `status` is any of these; `tags` must all
    be there; `since` is the submission, or later. What is not known is sorted last. Raises what
    `query` raises.
    """
    question = Question(sql=where or "", seconds=DEFAULT_SECONDS, view="runs")
    wanted = list(columns or COLUMNS["runs"])
    for name in (*wanted, sort):
        if name not in COLUMNS["runs"]:
            raise unknown_column(name, question)
    conditions = _conditions(where, status, tags or {}, since)
    statement = runs_statement(wanted, conditions, sort, descending).limit(limit)
    with read_only(database, DEFAULT_SECONDS) as connection, asked(question):
        return _found(connection.execute(statement))


def runs_statement(
    columns: Sequence[str], conditions: Sequence[ColumnElement[bool]], sort: str, descending: bool
) -> Select[Any]:
    """These columns of the runs that fulfil all conditions."""

    def towards(name: str) -> ColumnElement[Any]:
        found: ColumnElement[Any] = _RUNS.c[name]
        return found.desc() if descending else found.asc()

    first = towards(sort) if sort in _ALWAYS_KNOWN else towards(sort).nulls_last()
    chosen = select(*[_RUNS.c[name] for name in columns]).where(*conditions)
    return chosen.order_by(first, towards("id"))


def _conditions(
    where: str | None,
    status: Collection[RunStatus],
    tags: Mapping[str, str],
    since: datetime | None,
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where is not None:
        conditions.append(literal_column(f"({where}\n)"))  # the line ends a comment
    if status:
        conditions.append(_RUNS.c.status.in_([one.value for one in status]))
    for key, value in tags.items():
        having = select(_TAGS.c.run_id).where(_TAGS.c.key == key, _TAGS.c.value == value)
        conditions.append(_RUNS.c.id.in_(having))
    if since is not None:
        conditions.append(_RUNS.c.created_at >= bindparam("since", since, UtcDateTime))
    return conditions


def _found(result: CursorResult[Any], limit: int | None = None) -> Listing:
    if not result.returns_rows:
        raise NotReadOnly("it gives no rows")
    with closing(result):
        rows = result.fetchall() if limit is None else result.fetchmany(limit)
        return listing(result.keys(), [tuple(row) for row in rows])
