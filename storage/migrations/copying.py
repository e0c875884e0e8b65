"""What revision 0001 stored, copied into the tables of 0002."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from safetensors import SafetensorError
from safetensors.numpy import load

from tapeworks.storage.packing import packed
from tapeworks.storage.tables import (
    CompactUtcDateTime,
    Float32Array,
    HexDigest,
    UtcDateTime,
)

#: The old tables, those that refer to others first.
OLD = ("ledger", "image_values", "iterations", "events", "evaluations", "checkpoints", "runs")

#: Columns that are copied as they are.
KEPT = {
    "runs": "id, name, reason, configuration, iterations, completed_iterations, created_at, "
    "started_at, ended_at, owner, epoch, lease_until, fingerprint, images_digest, "
    "parameters_digest, first_loss",
    "checkpoints": "run_id, completed_iterations, digest, parameters",
    "evaluations": "run_id, completed_iterations, images, loss, accuracy",
    "events": "id, run_id, at, kind, message",
}

ITERATION = (
    "iteration",
    "images",
    "loss",
    "accuracy",
    "gradient_norm",
    "parameters_digest",
    "epoch",
    "shards",
    "attempts",
    "workers",
    "started_at",
    "seconds",
)

#: Settings that are new, with what every run had before them.
DEFAULTS = {
    "images_per_iteration": None,
    "evaluate_every": 0,
    "patience": 0,
    "optimizer": "sgd",
    "momentum": 0.9,
    "adam_beta_1": 0.9,
    "adam_beta_2": 0.999,
    "adam_epsilon": 1e-8,
    "schedule": "constant",
    "warmup_iterations": 0,
    "final_learning_rate": 0.0,
}

#: Iterations that are copied at a time.
SLICE = 200

#: Parameters' digests of runs that computed nothing real may be any text; they become this.
NO_DIGEST = "00" * 32


def copy_all(connection: sa.Connection) -> None:
    """Everything that the old tables hold into the new ones."""
    if connection.dialect.name == "postgresql":  # as SQLite does: no scheduler may commit meanwhile
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(OLD)} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(
        f"INSERT INTO stored_runs ({KEPT['runs']}, status, final_loss, priority) "
        f"SELECT {KEPT['runs']}, state, last_loss, 0 FROM runs ORDER BY created_at, id"
    )
    for table in ("checkpoints", "evaluations", "events"):
        columns = KEPT[table]
        connection.exec_driver_sql(
            f"INSERT INTO stored_{table} ({columns}) SELECT {columns} FROM {table}"
        )
    newest = "run_id = stored_runs.id ORDER BY completed_iterations DESC LIMIT 1"
    connection.exec_driver_sql(
        f"UPDATE stored_runs SET test_loss = (SELECT loss FROM evaluations WHERE {newest}), "
        f"test_accuracy = (SELECT accuracy FROM evaluations WHERE {newest})"
    )
    runs = sa.table(
        "stored_runs",
        sa.column("number", sa.Integer),
        sa.column("id", sa.String),
        sa.column("configuration", sa.JSON),
    )
    for run in connection.execute(sa.select(runs)).all():
        settings = DEFAULTS | run.configuration
        changed = sa.update(runs).where(runs.c.number == run.number)
        connection.execute(changed.values(configuration=settings))
        _copy_run(connection, run.number, run.id)


def _copy_run(connection: sa.Connection, number: int, run_id: str) -> None:
    new = sa.table(
        "stored_iterations",
        *[sa.column(name) for name in ("run", "iteration", "images", "loss", "accuracy")],
        *[sa.column(name) for name in ("gradient_norm", "epoch", "shards", "attempts")],
        *[sa.column(name) for name in ("workers", "seconds", "predictions")],
        sa.column("ledger", sa.JSON),
        sa.column("parameters_digest", HexDigest),
        sa.column("started_at", CompactUtcDateTime),
        sa.column("image_numbers", sa.LargeBinary),
        sa.column("image_values", Float32Array),
    )
    workers = _copy_workers(connection, number, run_id)
    old = sa.table(
        "iterations",
        sa.column("run_id"),
        *[sa.column(name) for name in ITERATION if name != "started_at"],
        sa.column("started_at", UtcDateTime),
    )
    values = sa.table(
        "image_values", sa.column("run_id"), sa.column("iteration"), sa.column("content")
    )
    of_run = (
        sa.select(*[old.c[name] for name in ITERATION], values.c.content)
        .select_from(old)
        .outerjoin(
            values,
            sa.and_(values.c.run_id == old.c.run_id, values.c.iteration == old.c.iteration),
        )
        .where(old.c.run_id == run_id)
        .order_by(old.c.iteration)
    )
    for row in _in_slices(connection, of_run, old.c.iteration):
        copied = row._asdict()
        content = copied.pop("content")
        entries = _ledger(connection, run_id, row.iteration)
        connection.execute(
            sa.insert(new).values(
                copied
                | _image_values(content, row.images)
                | {
                    "run": number,
                    "parameters_digest": _hex(row.parameters_digest),
                    "ledger": list(_lines(entries, row.started_at, workers)),
                }
            )
        )


def _in_slices(connection: sa.Connection, query: Any, iteration: Any) -> Iterator[Any]:
    """The rows in order, a part of them at a time: a run's images' values may be gigabytes."""
    start = 0
    while rows := connection.execute(query.where(iteration >= start).limit(SLICE)).all():
        yield from rows
        start = rows[-1].iteration + 1


def _old_ledger() -> sa.TableClause:
    return sa.table(
        "ledger",
        *[sa.column(name) for name in ("run_id", "iteration", "first_image", "image_count")],
        *[sa.column(name) for name in ("shard", "attempt", "epoch", "worker", "seconds")],
        sa.column("received_at", UtcDateTime),
    )


def _ledger(connection: sa.Connection, run_id: str, iteration: int) -> Any:
    old = _old_ledger()
    wanted = sa.select(old).where(old.c.run_id == run_id, old.c.iteration == iteration)
    return connection.execute(wanted.order_by(old.c.first_image)).all()


def _lines(entries: Any, started_at: Any, workers: dict[str, int]) -> Iterator[list[int]]:
    """Neighbours that came with one answer are one line."""
    line: list[int] | None = None
    for entry in entries:
        rest = [
            entry.shard,
            entry.attempt,
            entry.epoch,
            workers[entry.worker],
            round(entry.seconds * 1e6),
            (entry.received_at - started_at) // timedelta(microseconds=1),
        ]
        if line and line[2:] == rest and line[0] + line[1] == entry.first_image:
            line[1] += entry.image_count
            continue
        if line:
            yield line
        line = [entry.first_image, entry.image_count, *rest]
    if line:
        yield line


def _image_values(content: bytes | None, images: int) -> dict[str, bytes]:
    """What was safetensors; zeros where it was damaged, which a replay will find."""
    try:
        arrays = load(bytes(content or b""))
        values = [arrays[name].astype("<f4").tobytes() for name in ("losses", "gradient_norms")]
        predictions = arrays["predictions"].astype("u1").tobytes()
    except (SafetensorError, KeyError, ValueError, TypeError):
        values, predictions = [bytes(8 * images)], bytes(images)
    return {
        "predictions": packed(predictions),
        "image_numbers": b"",
        "image_values": b"".join(values),
    }


def _hex(digest: str) -> str:
    try:
        return bytes.fromhex(digest).hex()
    except ValueError:
        return NO_DIGEST


def _copy_workers(connection: sa.Connection, number: int, run_id: str) -> dict[str, int]:
    old = _old_ledger()
    answers = (
        sa.select(
            old.c.worker,
            sa.func.sum(old.c.image_count).label("images"),
            sa.func.max(old.c.seconds).label("seconds"),
            sa.func.min(old.c.received_at, type_=UtcDateTime).label("first_at"),
            sa.func.max(old.c.received_at, type_=UtcDateTime).label("last_at"),
        )
        .where(old.c.run_id == run_id)
        .group_by(old.c.worker, old.c.iteration, old.c.epoch, old.c.shard, old.c.attempt)
        .subquery()
    )
    sums = connection.execute(
        sa.select(
            answers.c.worker,
            sa.func.sum(answers.c.images).label("images"),
            sa.func.count().label("answers"),
            sa.func.sum(answers.c.seconds).label("seconds"),
            sa.func.min(answers.c.first_at, type_=UtcDateTime).label("first_at"),
            sa.func.max(answers.c.last_at, type_=UtcDateTime).label("last_at"),
        )
        .group_by(answers.c.worker)
        .order_by(answers.c.worker)
    ).all()
    new = sa.table(
        "stored_workers",
        *[sa.column(name) for name in ("run", "number", "name", "images", "answers", "seconds")],
        sa.column("first_at", UtcDateTime),
        sa.column("last_at", UtcDateTime),
    )
    numbers = {}
    for place, worker in enumerate(sums, start=1):
        values = worker._asdict()
        numbers[values.pop("worker")] = place
        values["images"] = int(values["images"])  # PostgreSQL sums whole numbers as decimals
        name = {"run": number, "number": place, "name": worker.worker}
        connection.execute(sa.insert(new).values(values | name))
    return numbers
