"""The last look at every value before a driver gets it: plain types only, so none becomes a blob.

A driver takes more: SQLite's stores a NumPy integer as its bytes, PostgreSQL's as a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Engine, event

from tapeworks.storage.errors import ValueNotPlain

#: What both drivers store as what it is. PostgreSQL's arrays are lists; SQLAlchemy gives bytes to
#: SQLite as a view of them.
_PLAIN = (type(None), int, float, str, bytes, memoryview, datetime, list)

#: Of a whole number in a database: 64 bits.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def refuse_others(engine: Engine) -> None:
    """Have the engine raise `ValueNotPlain` for all others before the database sees any of them."""
    allowed = (*_PLAIN, *_wrappers(engine.dialect))

    def check(*call: Any) -> None:
        _connection, _cursor, _statement, parameters, _context, is_many = call
        for row in parameters if is_many else [parameters]:
            for value in row.values() if isinstance(row, Mapping) else row or ():
                _check(value, allowed)

    event.listen(engine, "before_cursor_execute", check)


def check_plain(value: Any) -> None:
    """Raise `ValueNotPlain` for what no driver of ours gets."""
    _check(value, _PLAIN)


def _wrappers(dialect: Any) -> tuple[type[Any], ...]:
    """The driver's own types, in which SQLAlchemy hands JSON and bytes to PostgreSQL."""
    return () if dialect.name == "sqlite" else (dialect._psycopg_Json, dialect.dbapi.Binary)


def _check(value: Any, allowed: tuple[type[Any], ...]) -> None:
    if not isinstance(value, allowed) or isinstance(value, Enum):
        raise ValueNotPlain(type(value).__name__, value)
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        raise ValueNotPlain("int of more than 64 bits", value)
    if isinstance(value, str) and "\0" in value:  # which SQLite takes, and PostgreSQL does not
        raise ValueNotPlain("str", value)
