"""Iterations as rows: one for each, with its ledger and its images' values inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, ScalarSelect, Select, func, insert, select

from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.records import ImageValues, IterationRecord, LedgerRecord, WorkerSummary
from tapeworks.storage.references import run_by_id
from tapeworks.storage.tables import iterations, runs, workers

#: What each of `ImageValues` takes for one image, before predictions are packed.
BYTES_OF_A_VALUE = {"losses": 4, "gradient_norms": 4, "predictions": 1, "image_numbers": 4}

_MICROSECOND = timedelta(microseconds=1)

#: Made once: making it for each iteration costs more than the database.
_INSERT = insert(iterations)

#: The columns that hold an `IterationRecord`, but for its run.
NUMBERS = (
    "iteration",
    "images",
    "loss",
    "accuracy",
    "gradient_norm",
    "parameters_digest",
    "term",
    "shards",
    "attempts",
    "workers",
    "started_at",
    "seconds",
)


def number_of(run_id: str) -> ScalarSelect[Any]:
    """The number that stands for a run in the tables of many rows."""
    return select(runs.c.number).where(runs.c.id == run_id).scalar_subquery()


def iteration_row(
    run: int,
    numbers: Mapping[str, int],
    record: IterationRecord,
    ledger: Sequence[LedgerRecord],
    values: ImageValues | None,
) -> dict[str, Any]:
    """An iteration's one row, of the run and of workers with these numbers.

    Without images' values the ledger is stored without the answers' times, too.
    """
    lines = [_line(entry, numbers) for entry in ledger]
    if values:
        lines = [line + _times(entry, record) for line, entry in zip(lines, ledger, strict=True)]
    numbered = {name: getattr(record, name) for name in NUMBERS}
    return numbered | {"run": run, "ledger": lines} | _of_images(values)


def store_iterations(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Insert the rows of iterations."""
    connection.execute(_INSERT, rows)


def _of_images(values: ImageValues | None) -> dict[str, bytes]:
    """The columns of images' values; all are empty where those are not recorded."""
    from tapeworks.storage.packing import pack  # NumPy is loaded by then; a listing goes without

    if values is None:
        return dict.fromkeys(("predictions", "image_numbers", "image_values"), b"")
    return {
        "predictions": pack(values.predictions),
        "image_numbers": values.image_numbers or b"",
        "image_values": values.losses + (values.gradient_norms or b""),
    }


def read_iterations(
    connection: Connection, run_id: str, first: int = 0, limit: int | None = None
) -> list[IterationRecord]:
    """A run's iterations in order, from the `first`, without ledgers and images' values."""
    query = _of(run_id, *NUMBERS).where(iterations.c.iteration >= first)
    rows = connection.execute(query.order_by(iterations.c.iteration).limit(limit))
    return [IterationRecord(run_id=run_id, **row._asdict()) for row in rows]


def read_mean_losses(
    connection: Connection, run_id: str, wanted: Sequence[int]
) -> list[tuple[int, float]]:
    """Return those of these iterations that are committed, in order, with a mean image's loss."""
    of_run = iterations.c.run == number_of(run_id), iterations.c.iteration.in_(wanted)
    mean = (iterations.c.loss / iterations.c.images).label("mean")
    found = select(iterations.c.iteration, mean).where(*of_run)
    rows = connection.execute(found.order_by(iterations.c.iteration))
    return [(row.iteration, row.mean) for row in rows]


def read_ledger(
    connection: Connection,
    run_id: str,
    iteration: int | None,
    first: int = 0,
    limit: int | None = None,
) -> Iterator[LedgerRecord]:
    """The ledger of one iteration, or of at most `limit` from the `first`, in image order."""
    of_run = select(workers.c.number, workers.c.name).where(workers.c.run == number_of(run_id))
    names = {row.number: row.name for row in connection.execute(of_run)}
    query = _of(run_id, "iteration", "started_at", "ledger")
    query = query.where(iterations.c.iteration >= first).limit(limit)
    if iteration is not None:
        query = query.where(iterations.c.iteration == iteration)
    for row in connection.execute(query.order_by(iterations.c.iteration)):
        yield from sorted(_entries(run_id, row, names), key=lambda entry: entry.first_image)


def read_image_values(
    connection: Connection, run_id: str, wanted: Sequence[int]
) -> dict[int, ImageValues]:
    """The values of these iterations, in order, of those among them that were recorded in full.

    Raises `IterationNotFound`.
    """
    names = ("iteration", "images", "predictions", "image_numbers", "image_values")
    query = _of(run_id, *names).where(iterations.c.iteration.in_(wanted))
    rows = connection.execute(query.order_by(iterations.c.iteration))
    found = {row.iteration: _image_values(row) for row in rows}
    for missing in sorted(set(wanted) - set(found)):
        raise IterationNotFound(run_by_id(connection, run_id), missing)
    return {iteration: values for iteration, values in found.items() if values}


def _image_values(row: Row[Any]) -> ImageValues | None:
    """None of an iteration that was not recorded in full: even no predictions take a byte."""
    from tapeworks.storage.packing import unpack

    if not row.predictions and not row.image_values:
        return None
    content = row.image_values
    has_norms = len(content) > BYTES_OF_A_VALUE["losses"] * row.images
    end = len(content) // 2 if has_norms else len(content)
    return ImageValues(
        losses=content[:end],
        gradient_norms=content[end:] if has_norms else None,
        predictions=unpack(row.predictions, row.images),
        image_numbers=row.image_numbers or None,
    )


def read_recorded(connection: Connection, run_id: str) -> list[int]:
    """The iterations that were recorded in full, in order; their values are not read."""
    is_recorded = func.length(iterations.c.predictions) > 0
    query = _of(run_id, "iteration").where(is_recorded).order_by(iterations.c.iteration)
    return list(connection.scalars(query))


def read_workers(connection: Connection, run_id: str) -> list[WorkerSummary]:
    """The workers that computed for the run, those with the most images first."""
    columns = [column for column in workers.c if column.name not in {"run", "number"}]
    query = select(*columns).where(workers.c.run == number_of(run_id))
    rows = connection.execute(query.order_by(workers.c.images.desc(), workers.c.name))
    return [WorkerSummary(run_id=run_id, **row._asdict()) for row in rows]


def _of(run_id: str, *names: str) -> Select[Any]:
    columns = [iterations.c[name] for name in names]
    return select(*columns).where(iterations.c.run == number_of(run_id))


def _line(entry: LedgerRecord, numbers: Mapping[str, int]) -> list[int]:
    """A ledger's entry in few characters: which images, and the answer that counts them."""
    return [
        entry.first_image,
        entry.image_count,
        entry.shard,
        entry.attempt,
        entry.term,
        numbers[entry.worker],
    ]


def _times(entry: LedgerRecord, record: IterationRecord) -> list[int]:
    """Microseconds: of the whole shard, and from the iteration's beginning to the arrival."""
    if entry.seconds is None or entry.received_at is None:
        return []
    arrived = entry.received_at - record.started_at
    return [round(entry.seconds * 1e6), arrived // _MICROSECOND]


def _entries(run_id: str, row: Row[Any], names: dict[int, str]) -> Iterator[LedgerRecord]:
    for first_image, count, shard, attempt, term, worker, *times in row.ledger:
        microseconds, received = times or (None, None)
        yield LedgerRecord(
            run_id=run_id,
            iteration=row.iteration,
            first_image=first_image,
            image_count=count,
            shard=shard,
            attempt=attempt,
            term=term,
            worker=names[worker],
            seconds=None if microseconds is None else microseconds / 1e6,
            received_at=None if received is None else row.started_at + received * _MICROSECOND,
        )
