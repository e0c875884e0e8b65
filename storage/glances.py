"""Looks at a run that take little time however long its history is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table, func, select

from tapeworks.storage.connection.database import Database
from tapeworks.storage.iterations import NUMBERS, number_of
from tapeworks.storage.lineage import ancestors
from tapeworks.storage.records import EventRecord, IterationRecord, KeptCheckpoint, RunRecord
from tapeworks.storage.references import find_runs
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import checkpoints, events, iterations

#: After every iteration that a run may have.
LAST_ITERATION = 2**63 - 1


def find_named(database: Database, reference: str) -> list[RunRecord]:
    """Return the run that is meant, else the runs of the newest grid with this name, in order.

    Raises `RunNotFound` and `AmbiguousRun`.
    """
    with database.read() as connection:
        return find_runs(connection, reference)


def read_chosen(database: Database, run_id: str, wanted: Sequence[int]) -> list[IterationRecord]:
    """Return those of these iterations that are committed, in order."""
    with database.read() as connection:
        return _read_chosen(connection, run_id, wanted)


def sample_curve(
    database: Database, run: RunRecord, most: int, begin: int = 0, end: int = LAST_ITERATION
) -> list[IterationRecord]:
    """Return at most so many iterations from `begin` to before `end`, the newest among them.

    They are spread evenly over the run's iterations and those of the runs that it goes on from, and
    stay the same while the run goes on, until there are so many that every second one is left out.
    """
    wanted = _spread(begin, min(end, run.completed_iterations), most)
    sampled, first = list[IterationRecord](), begin
    with database.read() as connection:
        lines = [(one.run.id, one.until) for one in ancestors(connection, run)]
        for run_id, until in [*lines, (run.id, LAST_ITERATION)]:
            own = [place for place in wanted if first <= place < until]
            sampled += _read_chosen(connection, run_id, own) if own else []
            first = max(first, until)
    return sampled


def _spread(begin: int, end: int, most: int) -> list[int]:
    """Multiples of a power of two, and the last place."""
    stride = 1
    while (end - begin) // stride > most - 2:
        stride *= 2
    first = -(-begin // stride) * stride
    return sorted({*range(first, end, stride), *range(max(begin, end - 1), end)})


def _read_chosen(
    connection: Connection, run_id: str, wanted: Sequence[int]
) -> list[IterationRecord]:
    of_run = iterations.c.run == number_of(run_id), iterations.c.iteration.in_(wanted)
    columns = [iterations.c[name] for name in NUMBERS]
    rows = connection.execute(select(*columns).where(*of_run).order_by(iterations.c.iteration))
    return [IterationRecord(run_id=run_id, **row._asdict()) for row in rows]


def read_losses(database: Database, run_id: str) -> list[float]:
    """Return the losses of all its iterations, in order."""
    of_run = select(iterations.c.loss).where(iterations.c.run == number_of(run_id))
    with database.read() as connection:
        return list(connection.scalars(of_run.order_by(iterations.c.iteration)))


def find_recorded(database: Database, run_id: str, iteration: int) -> list[int]:
    """Return those nearest to it that were recorded in full: one before it, two from it on."""
    place = iterations.c.iteration
    is_recorded = iterations.c.run == number_of(run_id), func.length(iterations.c.predictions) > 0
    recorded = select(place).where(*is_recorded)
    before = recorded.where(place < iteration).order_by(place.desc()).limit(1)
    behind = recorded.where(place >= iteration).order_by(place).limit(2)
    with database.read() as connection:
        return [*connection.scalars(before), *connection.scalars(behind)]


def read_newest_events(database: Database, run_id: str, limit: int) -> list[EventRecord]:
    """Return the last few events of the run's story, the newest first."""
    query = all_of(EventRecord).where(events.c.run_id == run_id).order_by(events.c.id.desc())
    with database.read() as connection:
        return fetch(connection, EventRecord, query.limit(limit))


def read_events_about(database: Database, run_id: str, iteration: int) -> list[EventRecord]:
    """Return the events that name this iteration, in order."""
    named = events.c.message.contains(f" iteration {iteration}", autoescape=True)
    longer = events.c.message.regexp_match(f" iteration {iteration}[0-9]")
    query = all_of(EventRecord).where(events.c.run_id == run_id, named & ~longer)
    with database.read() as connection:
        return fetch(connection, EventRecord, query.order_by(events.c.id))


def count_of_run(database: Database, table: Table, run_id: str) -> int:
    """Count the rows of the run in a table that names its run by id."""
    of_run = select(func.count()).select_from(table).where(table.c.run_id == run_id)
    with database.read() as connection:
        return connection.scalars(of_run).one()


def read_kept_checkpoints(database: Database, run_id: str, limit: int) -> list[KeptCheckpoint]:
    """Return the newest few of the parameters that the run keeps, the newest first."""
    size = func.length(checkpoints.c.parameters).label("size")
    query = select(checkpoints.c.completed_iterations, checkpoints.c.digest, size)
    of_run = query.where(checkpoints.c.run_id == run_id)
    newest_first = of_run.order_by(checkpoints.c.completed_iterations.desc())
    with database.read() as connection:
        rows = connection.execute(newest_first.limit(limit))
        return [KeptCheckpoint(**row._asdict()) for row in rows]
