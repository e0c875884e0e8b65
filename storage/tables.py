"""The tables. Their primary keys make it impossible to commit an iteration twice.

People query the views (storage/queries/views.py), which stay the same when tables change.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from tapeworks.storage.records import Request, RunStatus

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


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(kind: type[RunStatus] | type[Request]) -> Enum:
    return Enum(
        kind,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


def _of_run() -> Column[Any]:
    """The first key column of what belongs to a run and is deleted with it."""
    return Column(
        "run_id", String(64), ForeignKey("stored_runs.id", ondelete="CASCADE"), primary_key=True
    )


def _of_run_number() -> Column[Any]:
    """The same where there are so many rows that a run's id would be most of them."""
    return Column(
        "run", Integer, ForeignKey("stored_runs.number", ondelete="CASCADE"), primary_key=True
    )


#: One row: the id that the database got with its tables. A copy has the same.
database_ids = Table("stored_database_ids", metadata, Column("id", String(16), primary_key=True))

#: Source texts of users' networks by their SHA-256, whatever number of runs is of them.
networks = Table(
    "stored_networks",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("source", Text, nullable=False),
)

runs = Table(
    "stored_runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", String(80)),
    Column("status", _one_of(RunStatus), nullable=False),
    Column("reason", Text),
    Column("request", _one_of(Request)),
    Column("request_reason", Text),
    Column("priority", Integer, nullable=False),
    Column("note", Text),
    Column("submitter", Text),
    Column("submitter_host", Text),
    Column("parent_id", String(64)),
    Column("parent_iterations", Integer),
    Column("configuration", JSON, nullable=False),
    Column("network_digest", Text, ForeignKey("stored_networks.digest")),
    Column("iterations", Integer, nullable=False),
    Column("completed_iterations", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("owner", Text),
    Column("term", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("fingerprint", Text),
    Column("images_digest", Text),
    Column("labels", LargeBinary),
    Column("image_rows", LargeBinary),
    Column("parameters_digest", Text, nullable=False),
    Column("first_loss", Double),
    Column("final_loss", Double),
    Column("test_loss", Double),
    Column("test_accuracy", Double),
    Column("pruned_at", UtcDateTime),
    Index(None, "status", "priority", "created_at"),
    Index(None, "name", "created_at"),
    Index(None, "created_at", "id"),
    Index(None, "final_loss"),
    Index(None, "network_digest"),
)

#: What was submitted with a key, a row for each run. A run's row is written before the run.
submissions = Table(
    "stored_submissions",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column(
        "run_id",
        String(64),
        ForeignKey("stored_runs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    Column("digest", Text, nullable=False),
)

tags = Table(
    "stored_tags",
    metadata,
    _of_run(),
    Column("key", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
    Index(None, "key", "value"),
)

#: A row holds all of an iteration but its parameters: its numbers, its ledger, its images' values.
#: PostgreSQL pads each column to the next multiple of its size, and spends 8 bytes on the first
#: NULL of a row: so the widest numbers come first, and nothing is NULL but the accuracy of a
#: network that predicts nothing. SQLite keeps the rows in the order of their key, without a second
#: tree for the key. The last three columns are empty where an iteration is not recorded in full.
iterations = Table(
    "stored_iterations",
    metadata,
    Column("loss", Double, nullable=False),
    Column("accuracy", Double),
    Column("gradient_norm", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("started_at", CompactUtcDateTime, nullable=False),
    _of_run_number(),
    Column("iteration", Integer, primary_key=True),
    Column("images", Integer, nullable=False),
    Column("term", Integer, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("workers", Integer, nullable=False),
    Column("parameters_digest", HexDigest, nullable=False),
    Column("ledger", JSON, nullable=False),
    Column("predictions", LargeBinary, nullable=False),
    Column("image_numbers", LargeBinary, nullable=False),
    Column("image_values", Float32Array, nullable=False),
    sqlite_with_rowid=False,
)

#: Who computed for a run, in sum. Ledgers name a worker by its number within the run.
workers = Table(
    "stored_workers",
    metadata,
    _of_run_number(),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("answers", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    UniqueConstraint("run", "name"),
)

checkpoints = Table(
    "stored_checkpoints",
    metadata,
    _of_run(),
    Column("completed_iterations", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("parameters", LargeBinary, nullable=False),
    Column("optimizer_state", LargeBinary),
    Column("state_digest", Text),
)

evaluations = Table(
    "stored_evaluations",
    metadata,
    _of_run(),
    Column("completed_iterations", Integer, primary_key=True),
    Column("images", Integer, nullable=False),
    Column("loss", Double, nullable=False),
    Column("accuracy", Double),
    Column("confusion", JSON(none_as_null=True)),
)

events = Table(
    "stored_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column(
        "run_id",
        String(64),
        ForeignKey("stored_runs.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("worker", Text),
    Column("actor", Text),
    Column("actor_host", Text),
)

#: Runs that were deleted: what is left of them.
deletions = Table(
    "stored_deletions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("name", String(80)),
    Column("status", _one_of(RunStatus), nullable=False),
    Column("completed_iterations", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("submitter", Text),
    Column("submitter_host", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_host", Text, nullable=False),
)
