"""Records to rows and back: every record's fields are columns of the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Select, Table, insert, select

from tapeworks.storage import tables
from tapeworks.storage.actors import Actor
from tapeworks.storage.records import CheckpointRecord, EvaluationRecord, EventRecord, RunRecord

Record = TypeVar("Record")

TABLES: dict[type[Any], Table] = {
    RunRecord: tables.runs,
    CheckpointRecord: tables.checkpoints,
    EvaluationRecord: tables.evaluations,
    EventRecord: tables.events,
}


def columns_of(kind: type[Any]) -> list[Column[Any]]:
    """The columns that a record of this kind is made of."""
    return [TABLES[kind].c[field.name] for field in fields(kind)]


def all_of(kind: type[Any]) -> Select[Any]:
    """Select the columns that a record of this kind is made of."""
    return select(*columns_of(kind))


def fetch(connection: Connection, kind: type[Record], query: Select[Any]) -> list[Record]:
    return [kind(**row._asdict()) for row in connection.execute(query)]


def store(connection: Connection, records: Iterable[Any]) -> None:
    """Insert one or more records, all of one kind."""
    rows = list(records)
    names = [column.name for column in columns_of(type(rows[0]))]
    connection.execute(
        insert(TABLES[type(rows[0])]),
        [{name: getattr(row, name) for name in names} for row in rows],
    )


def note(
    connection: Connection,
    run_id: str,
    at: datetime,
    kind: str,
    message: str,
    actor: Actor | None = None,
) -> None:
    """Add an event to a run's story; `actor` is the user who did it, if a person did."""
    who = {} if actor is None else {"actor": actor.user, "actor_host": actor.host}
    store(connection, [EventRecord(run_id=run_id, at=at, kind=kind, message=message, **who)])


def is_noted(connection: Connection, event: EventRecord) -> bool:
    """Return whether this very event is stored, by an earlier try whose answer was lost."""
    columns = columns_of(EventRecord)
    same = [column.is_not_distinct_from(getattr(event, column.name)) for column in columns]
    return connection.scalar(select(tables.events.c.id).where(*same).limit(1)) is not None
