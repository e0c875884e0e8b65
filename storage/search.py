"""Finding runs by what is known of them, and asking anything in SQL. Nothing is ever changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    column,
    literal_column,
    select,
    table,
)

from tapeworks.storage.asking.limits import DEFAULT_SECONDS, Statement
from tapeworks.storage.asking.sqlite import ask_sqlite
from tapeworks.storage.database import Database
from tapeworks.storage.listing import Listing, plain
from tapeworks.storage.query_errors import Question, asked, unknown_column
from tapeworks.storage.records import RunStatus
from tapeworks.storage.translation import translated
from tapeworks.storage.types import aware_utc
from tapeworks.storage.views import COLUMNS

_RUNS = table("runs", *map(column, COLUMNS["runs"]))
_TAGS = table("tags", *map(column, COLUMNS["tags"]))

#: Columns of the view `runs` that are never NULL and have an index: sorting by them is for free.
_ALWAYS_KNOWN = {"created_at", "id"}


def query(
    database: Database, sql: str, *, seconds: float = DEFAULT_SECONDS, limit: int | None = None
) -> Listing:
    """Return what one SELECT (or WITH … SELECT) finds, or its first rows.

    Raises `NotReadOnly` for whatever would do more than read, `QueryTimeout` after so many seconds,
    `UnknownColumn` and `UnknownTable` with the nearest name, and another `QueryError` with the
    database's words.
    """
    statement = Statement(sql=sql, seconds=seconds, limit=limit)
    return _ask(database, statement, Question(sql=sql, seconds=seconds))


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
    return _ask(database, _compiled(database, statement), question)


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
        moment = plain(aware_utc(since))  # digits, as the database writes them
        conditions.append(_RUNS.c.created_at >= literal_column(f"'{moment}'"))
    return conditions


def _ask(database: Database, statement: Statement, question: Question) -> Listing:
    if database.file:
        with translated(database.address), asked(question, statement):
            return ask_sqlite(database.file, statement)
    from tapeworks.storage.asking.postgresql import ask_postgresql

    return ask_postgresql(database, statement, question)


def _compiled(database: Database, statement: Select[Any]) -> Statement:
    """The statement as text and parameters for the driver. All parameters are text or numbers."""
    kwargs = {"render_postcompile": True}
    compiled = statement.compile(dialect=database.dialect, compile_kwargs=kwargs)
    values: Mapping[str, Any] = compiled.params
    places = getattr(compiled, "positiontup", None)
    parameters = values if places is None else [values[name] for name in places]
    return Statement(sql=str(compiled), parameters=parameters, seconds=DEFAULT_SECONDS)
