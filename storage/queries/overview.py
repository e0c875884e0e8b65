"""Runs that are driven and workers of many runs, for those who look on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select

from tapeworks.storage.connection.database import Database
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import runs, workers


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTotal:
    """The work of one worker for several runs."""

    #: The worker.
    name: str
    #: Runs that it computed for.
    runs: int
    #: One of them is running.
    serves: bool
    #: Images whose gradients were counted.
    images: int
    #: How long it computed them.
    seconds: float
    #: When its latest answer arrived.
    last_at: datetime


def find_running(database: Database) -> list[RunRecord]:
    """The runs that are being driven, the oldest first."""
    driven = all_of(RunRecord).where(runs.c.status == RunStatus.RUNNING).order_by(runs.c.id)
    with database.read() as connection:
        return fetch(connection, RunRecord, driven)


def total_workers(database: Database, most_runs: int, limit: int) -> list[WorkerTotal]:
    """The workers of the newest runs, those that answered last first."""
    newest = select(runs.c.number).order_by(runs.c.created_at.desc(), runs.c.id.desc())
    is_running = case((runs.c.status == RunStatus.RUNNING, 1), else_=0)
    last_at = func.max(workers.c.last_at).label("last_at")
    query = (
        select(
            workers.c.name,
            func.count().label("runs"),
            func.max(is_running).label("serves"),
            func.sum(workers.c.images).label("images"),
            func.sum(workers.c.seconds).label("seconds"),
            last_at,
        )
        .join_from(workers, runs, workers.c.run == runs.c.number)
        .where(workers.c.run.in_(newest.limit(most_runs)))
        .group_by(workers.c.name)
        .order_by(last_at.desc(), workers.c.name)
        .limit(limit)
    )
    with database.read() as connection:
        found = [row._asdict() for row in connection.execute(query)]
    return [
        WorkerTotal(**row | {"images": int(row["images"]), "serves": bool(row["serves"])})
        for row in found
    ]


def read_labels(database: Database, run_id: str) -> bytes | None:
    """Each training image's class, its place among the run's classes as a byte; None without."""
    with database.read() as connection:
        return connection.scalar(select(runs.c.labels).where(runs.c.id == run_id))


def read_rows(database: Database, run_id: str) -> bytes | None:
    """Each training image's row in the data set, for `row_of`; None where that is its number."""
    with database.read() as connection:
        return connection.scalar(select(runs.c.image_rows).where(runs.c.id == run_id))


def row_of(rows: bytes | None, number: int) -> int:
    """The row of the image with this number in the run's data."""
    return number if rows is None else int.from_bytes(rows[4 * number :][:4], "little")
