"""Runs found by what is known of them, and anything asked in SQL. Nothing is ever changed."""

from __future__ import annotations

import operator
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType

from tapeworks.storage.connection.bound_values import check_plain
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.outages import translate_errors
from tapeworks.storage.errors import (
    NotReadOnly,
    QueryError,
    QueryTimeout,
    UnknownColumn,
    UnknownTable,
)
from tapeworks.storage.queries.listing import Listing, Value, plain
from tapeworks.storage.queries.options import (
    KINDS,
    Options,
    has_options,
    kinds_of,
    make_whole,
    option_of,
)
from tapeworks.storage.queries.other_columns import find_nearest
from tapeworks.storage.queries.query_limits import DEFAULT_SECONDS, Statement, collect_listing
from tapeworks.storage.queries.sqlite import ask_sqlite
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.records import RunStatus
from tapeworks.storage.tables import aware_utc

#: How each database says that a column or a table is not there.
_NO_COLUMN = re.compile(r'no such column: (\S+)|column "?([^" ]+)"? does not exist')
_NO_TABLE = re.compile(r'no such table: (\S+)|relation "?([^" ]+)"? does not exist')

#: Words for the database's own user and the like. PostgreSQL takes each for a value of its own
#: where somebody means a column, SQLite for a column that is not there.
_OWN_WORDS = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\bas\s+\w+|\.\s*\w+"""
    r"""|\b(?P<word>(?:current_|session_|system_)?user|current_(?:role|catalog|schema))\b(?!\s*\()""",
    re.IGNORECASE | re.DOTALL,
)

#: What a condition is ended with; its line ends a comment.
_END = "\n)"

#: What a query begins with; anything else gets its refusal in these words.
_QUERY = re.compile(r"(?:--[^\n]*\n|/\*.*?\*/|[\s(;])*(?:select|with|values|table)\b", re.I | re.S)

#: SQLSTATEs, or their first two characters (the class), of what is wrong with a statement or with
#: the values it met. Of the rest the database is to blame.
_OUT_OF_TIME, _READ_ONLY, _SYNTAX = "57014", "25006", "42601"
_OF_THE_SQL = {"0A", "21", "22", "25", "42", "54", "P0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A person's SQL, and what is needed to say what is wrong with it."""

    sql: str
    seconds: float
    #: Where the SQL is a condition only: on rows of this view.
    view: str | None = None

    @property
    def views(self) -> list[str]:
        """The views that it is about."""
        if self.view:
            return [self.view]
        return [view for view in COLUMNS if re.search(rf"\b{view}\b", self.sql, re.I)]

    @property
    def is_query(self) -> bool:
        """Check that it looks like one; the database decides."""
        return self.view is not None or _QUERY.match(self.sql) is not None


@contextmanager
def translate_query_errors(question: Question, statement: Statement) -> Iterator[None]:
    """Raise a `QueryError` for what is wrong with the question; let through all else."""
    try:
        for text in (question.sql, *statement.values):
            str(text).encode()  # a shell may pass bytes that are no text
        if "\0" in question.sql:  # where PostgreSQL's driver would end it
            raise QueryError("Expected SQL without a NUL.")
        for value in statement.values:
            check_plain(value)
        yield
    except UnicodeEncodeError as error:
        raise QueryError("Expected SQL as Unicode text.") from error
    except sqlite3.Warning as error:  # Python 3.11 says so of several statements
        raise NotReadOnly(_one_line(error)) from error
    except DBAPIError as error:
        refusal = _refusal(question, error.orig)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(question: Question, error: Any) -> QueryError | None:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(question, error)
    return _of_postgresql(question, error)


def _of_sqlite(question: Question, error: sqlite3.Error) -> QueryError | None:
    # What Python's own module refuses has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return QueryTimeout(question.seconds)
    if code in {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}:
        return NotReadOnly(_one_line(error))
    if code not in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}:
        return None
    if not question.is_query or "one statement" in str(error):
        return NotReadOnly(_one_line(error))
    return _of_the_sql(question, _own_words(question, str(error)))


def _of_postgresql(question: Question, error: Any) -> QueryError | None:
    state, words = error.sqlstate, error.diag.message_primary or _one_line(error)
    if state == _OUT_OF_TIME:
        return QueryTimeout(question.seconds)
    if state is None or state[:2] not in _OF_THE_SQL:
        return None
    does_more = "data-modifying" in words or "multiple commands" in words
    if state == _READ_ONLY or does_more or (state == _SYNTAX and not question.is_query):
        return NotReadOnly(words)
    return _of_the_sql(question, _own_words(question, words))


def _of_the_sql(question: Question, words: str) -> QueryError:
    if (found := _NO_COLUMN.search(words)) is not None:
        return unknown_column(_bare_name(found), question)
    if (found := _NO_TABLE.search(words)) is not None:
        name = _bare_name(found)
        return UnknownTable(name, find_nearest(name, list(COLUMNS)), list(COLUMNS))
    return QueryError(f"The database cannot answer this: {words}")


def _own_words(question: Question, words: str) -> str:
    """The database's words on one line, without the SQL of ours that ends an open condition."""
    own, ours, _ = words.partition(_END) if question.view else (words, "", "")
    if question.view and 'near ")"' in own and ")" not in question.sql:
        return "the condition is not complete"
    return " ".join(own.split()).rstrip(".") + ('"' if ours else "")


def unknown_column(name: str, question: Question) -> UnknownColumn:
    """That none of the views has such a column."""
    views = question.views or ["runs"]
    known = [column for view in views for column in COLUMNS[view]]
    text = _text_meant(name, question.sql)
    nearest = find_nearest(name, known) if text in {None, name} else None
    if _OWN_WORDS.fullmatch(name):
        nearest = next((column for column in ("submitter", "actor") if column in known), None)
    return UnknownColumn(name, nearest, views[0], text=text)


def _text_meant(name: str, sql: str) -> str | None:
    """The text without quotation marks, or with wrong ones, of which the database read a name."""
    if f'"{name}"' in sql:
        return name
    compared = rf"(?:[=<>]|\blike\b|\bin\s*\()\s*({re.escape(name)}\b[^\s(),;']*)"
    found = re.search(compared, sql, re.IGNORECASE)
    return found and found[1]


def _bare_name(found: re.Match[str]) -> str:
    return (found[1] or found[2]).rpartition(".")[2].strip('"')


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


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
        conditions.append(literal_column(f"({where}{_END}"))
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

    for found in _OWN_WORDS.finditer(question.sql):
        if found["word"]:
            raise unknown_column(found["word"], question)
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
