"""Column types: Python values to what each database keeps most compactly, bit for bit."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    DateTime,
    Dialect,
    LargeBinary,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

#: Of PostgreSQL's arrays in binary: dimensions, a flag for NULLs, the kind of the items, how many
#: there are and the first one's index; then each with its length in bytes. Big-endian.
_HEADER, _LENGTH = struct.Struct(">5i"), struct.pack(">i", 4)

#: PostgreSQL's number of the type `real`.
_REAL = 700

#: Before it, nothing was ever trained.
_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times in, aware UTC times out, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else aware_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CompactUtcDateTime(TypeDecorator[datetime]):
    """The same in 8 bytes: on SQLite, which has no type for times, microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = BigInteger() if _is_sqlite(dialect) else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        moment = aware_utc(value)
        return (moment - _ORIGIN) // timedelta(microseconds=1) if _is_sqlite(dialect) else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if _is_sqlite(dialect):
            return _ORIGIN + timedelta(microseconds=value)
        return value.astimezone(UTC)  # type: ignore[no-any-return]


class HexDigest(TypeDecorator[str]):
    """A digest in hexadecimal, kept as its bytes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else bytes(value).hex()


class Float32Array(TypeDecorator[bytes]):
    """float32, little-endian: on SQLite those bytes, on PostgreSQL its array."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = LargeBinary() if _is_sqlite(dialect) else ARRAY(REAL)
        return dialect.type_descriptor(kind)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """In place of SQLAlchemy's, which makes Python's numbers of an array, then text of them."""
        return None if _is_sqlite(dialect) else _real_array

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        return bytes(value) if _is_sqlite(dialect) else array("f", value).tobytes()


class RealArray(bytes):
    """A `real[]` as PostgreSQL sends and takes it: after a header each number with its length."""


def _real_array(content: bytes | None) -> RealArray | None:
    if content is None:
        return None
    numbers = array("I", content)
    numbers.byteswap()
    parts = array("I", _LENGTH) * (2 * len(numbers))
    parts[1::2] = numbers
    return RealArray(_HEADER.pack(1, 0, _REAL, len(numbers), 1) + parts.tobytes())


def _is_sqlite(dialect: Dialect) -> bool:
    return dialect.name == "sqlite"


def aware_utc(value: datetime) -> datetime:
    """Return the time in UTC. Raises `ValueError` for one without a time zone."""
    if value.tzinfo is None:
        raise ValueError(f"Expected a time with a time zone. Received: {value!r}")
    return value.astimezone(UTC)
