"""Runs found by what is known of them, and anything asked in SQL. Nothing is ever changed."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.types import NullType

from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.outages import translate_errors
from tapeworks.storage.queries.listing import Listing, Value, plain
from tapeworks.storage.queries.options import (
    KINDS,
    Options,
    has_options,
    kinds_of,
    make_whole,
    option_of,
)
from tapeworks.storage.queries.query_limits import DEFAULT_SECONDS, Statement, collect_listing
from tapeworks.storage.queries.refusals import (
    END,
    Question,
    refuse_own_words,
    translate_query_errors,
    unknown_column,
)
from tapeworks.storage.queries.sqlite import ask_sqlite
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.records import RunStatus
from tapeworks.storage.tables import aware_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A run's place in a listing of runs, which it keeps whatever happens to the run."""

    #: Of the column that the listing is sorted by.
    value: Value
    run_id: str


_RUNS = table("runs", *map(column, COLUMNS["runs"]))
_TAGS = table("tags", *map(column, COLUMNS["tags"]))

#: Columns of the view `runs` that are never NULL and have an index: sorting by them is for free.
_ALWAYS_KNOWN = {"created_at", "id"}

#: The view's column that is JSON, and where.
_JSON = "tags", "postgresql"


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
    submitter: str | None = None,
    sort: str = "created_at",
    descending: bool = True,
    limit: int | None = None,
    offset: int = 0,
    after: Place | None = None,
    columns: Sequence[str] | None = None,
) -> Listing:
    """Runs as rows of the view `runs`: those that fulfil everything that is asked for.

    `where` is a condition in SQL over the view's columns; `status` is any of these; `tags` must all
    be there; `since` is the submission, or later; `submitter` is the user's name. What is not known
    is sorted last; the first `offset` runs are left out, or all up to and including that of the
    place `after`. An option of a network is a column too, `option.NAME`, NULL of a run that does
    not have it. Raises what `query` raises.
    """
    question = Question(sql=where or "", seconds=DEFAULT_SECONDS, view="runs")
    wanted = list(columns or COLUMNS["runs"])
    for name in (*wanted, sort):
        if name not in COLUMNS["runs"] and not option_of(name):
            raise unknown_column(name, question)
    of_options = [name for name in (*wanted, sort) if option_of(name)]
    options = _read_options(database, question, needed=bool(of_options))
    conditions = _conditions(where and options.replace(where), status, tags or {}, since, submitter)
    statement = runs_statement(wanted, conditions, sort, descending, options)
    if after is not None:
        behind = _behind(sort, options, after, database, descending=descending)
        statement = statement.where(behind)
    statement = statement.limit(limit).offset(offset or None)
    found = _ask_for_runs(database, statement, question)
    return found.convert(dict.fromkeys(of_options, make_whole))


def count_runs(
    database: Database,
    *,
    where: str | None = None,
    status: Collection[RunStatus] = (),
    tags: Mapping[str, str] | None = None,
    since: datetime | None = None,
    submitter: str | None = None,
) -> int:
    """Count the runs that `find_runs` finds without a limit. Raises what it raises."""
    question = Question(sql=where or "", seconds=DEFAULT_SECONDS, view="runs")
    options = _read_options(database, question)
    conditions = _conditions(where and options.replace(where), status, tags or {}, since, submitter)
    statement = select(func.count().label("runs")).select_from(_RUNS).where(*conditions)
    [(count,)] = _ask_for_runs(database, statement, question).rows
    return int(count or 0)


def _ask_for_runs(database: Database, statement: Select[Any], question: Question) -> Listing:
    ask = _ask if question.sql else _read  # SQL of ours needs no process of its own
    return ask(database, _compile(database, statement), question)


def _read_options(database: Database, question: Question, *, needed: bool = False) -> Options:
    """The options that runs have, if columns or the condition need them."""
    dialect = database.dialect.name
    if not needed and not has_options(question.sql):
        return Options(dialect=dialect)
    statement = Statement(sql=KINDS[dialect], seconds=DEFAULT_SECONDS)
    return Options(dialect=dialect, kinds=kinds_of(_read(database, statement, question).rows))


def runs_statement(
    columns: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    sort: str,
    descending: bool,
    options: Options,
) -> Select[Any]:
    """These columns of the runs that fulfil all conditions."""

    def value(name: str) -> ColumnElement[Any]:
        found = _expression(name, options)
        return found.label(name) if option_of(name) else found

    def towards(name: str) -> ColumnElement[Any]:
        by = _comparable(name, value(name), options.dialect)
        return by.desc() if descending else by.asc()

    first = towards(sort) if sort in _ALWAYS_KNOWN else towards(sort).nulls_last()
    chosen = select(*map(value, columns)).select_from(_RUNS).where(*conditions)
    return chosen.order_by(first, towards("id"))


def _expression(name: str, options: Options) -> ColumnElement[Any]:
    if option := option_of(name):
        return literal_column(options.value(option))
    found: ColumnElement[Any] = _RUNS.c[name]
    return found


def _comparable(name: str, value: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """The column's value as it is sorted: PostgreSQL does not compare JSON."""
    return cast(func.to_jsonb(cast(value, JSON)), Text) if (name, dialect) == _JSON else value


def _behind(
    sort: str, options: Options, place: Place, database: Database, *, descending: bool
) -> ColumnElement[bool]:
    """The condition for runs that are listed behind the place, as the listing sorts them."""
    op, dialect = operator.lt if descending else operator.gt, database.dialect.name
    by = _comparable(sort, _expression(sort, options), dialect)
    same_value = op(_RUNS.c.id, literal(place.run_id, NullType()))
    if place.value is None:
        return and_(by.is_(None), same_value)
    # PostgreSQL reads a text without a type as one of the column's.
    known = literal(place.value if database.is_sqlite else str(place.value), NullType())
    value = _comparable(sort, known, dialect)
    return or_(op(by, value), and_(by == value, same_value), by.is_(None))


def _conditions(
    where: str | None,
    status: Collection[RunStatus],
    tags: Mapping[str, str],
    since: datetime | None,
    submitter: str | None,
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where is not None:
        conditions.append(literal_column(f"({where}{END}"))
    if status:
        conditions.append(_RUNS.c.status.in_([one.value for one in status]))
    for key, value in tags.items():
        having = select(_TAGS.c.run_id).where(_TAGS.c.key == key, _TAGS.c.value == value)
        conditions.append(_RUNS.c.id.in_(having))
    if submitter is not None:
        conditions.append(_RUNS.c.submitter == submitter)
    if since is not None:
        moment = plain(aware_utc(since))  # digits, as the database writes them
        conditions.append(_RUNS.c.created_at >= literal_column(f"'{moment}'"))
    return conditions


def _ask(database: Database, statement: Statement, question: Question) -> Listing:
    if database.file:
        with translate_errors(database.address), translate_query_errors(question, statement):
            return ask_sqlite(database, database.file, statement)
    from tapeworks.storage.queries.postgresql import ask_postgresql

    refuse_own_words(question)
    return ask_postgresql(database, statement, question)


def _read(database: Database, statement: Statement, question: Question) -> Listing:
    with database.read() as connection, translate_query_errors(question, statement):
        parameters: Any = statement.parameters
        found = connection.exec_driver_sql(statement.sql, parameters)
        return collect_listing(found.keys(), (tuple(map(plain, row)) for row in found))


def _compile(database: Database, statement: Select[Any]) -> Statement:
    """The statement as text and parameters for the driver. All parameters are text or numbers."""
    kwargs = {"render_postcompile": True}
    compiled = statement.compile(dialect=database.dialect, compile_kwargs=kwargs)
    values: Mapping[str, Any] = compiled.params
    places = getattr(compiled, "positiontup", None)
    parameters = values if places is None else tuple(values[name] for name in places)
    return Statement(sql=str(compiled), parameters=parameters, seconds=DEFAULT_SECONDS)
