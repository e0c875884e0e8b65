"""Refusals of people's SQL: what is wrong with it, in one sentence."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError

from tapeworks.storage.connection.bound_values import check_plain
from tapeworks.storage.errors import (
    NotReadOnly,
    QueryError,
    QueryTimeout,
    UnknownColumn,
    UnknownTable,
)
from tapeworks.storage.queries.other_columns import find_nearest
from tapeworks.storage.queries.query_limits import Statement
from tapeworks.storage.queries.views import COLUMNS

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
END = "\n)"

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
    own, ours, _ = words.partition(END) if question.view else (words, "", "")
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


def refuse_own_words(question: Question) -> None:
    """Raise `UnknownColumn` for a word that PostgreSQL would take for a value of its own."""
    for found in _OWN_WORDS.finditer(question.sql):
        if found["word"]:
            raise unknown_column(found["word"], question)


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
