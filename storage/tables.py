"""The tables. Their primary keys make it impossible to count anything twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
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

from storage.records import RunState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times in, aware UTC times out, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"Expected a time with a time zone. Received: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _state() -> Enum:
    return Enum(
        RunState,
        native_enum=False,
        length=16,
        values_callable=lambda states: [state.value for state in states],
    )


def _of_run() -> Column[Any]:
    """The first key column of everything that belongs to a run and is deleted with it."""
    return Column("run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)


def _of_iteration() -> tuple[Column[Any], Column[Any], ForeignKeyConstraint]:
    """The key columns of everything that exists only together with a committed iteration."""
    return (
        Column("run_id", String(64), primary_key=True),
        Column("iteration", Integer, primary_key=True),
        ForeignKeyConstraint(
            ["run_id", "iteration"],
            ["iterations.run_id", "iterations.iteration"],
            ondelete="CASCADE",
        ),
    )


runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(80)),
    Column("state", _state(), nullable=False),
    Column("reason", Text),
    Column("configuration", JSON, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("completed_iterations", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("fingerprint", Text),
    Column("images_digest", Text),
    Column("parameters_digest", Text, nullable=False),
    Column("first_loss", Double),
    Column("last_loss", Double),
    Index(None, "state", "created_at"),
    Index(None, "name", "created_at"),
    Index(None, "created_at", "id"),
)

iterations = Table(
    "iterations",
    metadata,
    _of_run(),
    Column("iteration", Integer, primary_key=True),
    Column("images", BigInteger, nullable=False),
    Column("loss", Double, nullable=False),
    Column("accuracy", Double, nullable=False),
    Column("gradient_norm", Double, nullable=False),
    Column("parameters_digest", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("workers", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Double, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    *_of_iteration(),
    Column("microbatch", Integer, primary_key=True),
    Column("first_image", BigInteger, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("worker", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("run_id", "iteration", "first_image"),
)

#: The per-image losses, gradient norms and predictions of each iteration, as safetensors.
image_values = Table(
    "image_values",
    metadata,
    *_of_iteration(),
    Column("content", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _of_run(),
    Column("completed_iterations", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("parameters", LargeBinary, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    _of_run(),
    Column("completed_iterations", Integer, primary_key=True),
    Column("images", BigInteger, nullable=False),
    Column("loss", Double, nullable=False),
    Column("accuracy", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column(
        "run_id", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("message", Text, nullable=False),
)
