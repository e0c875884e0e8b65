"""One row per iteration, its ledger and its images' values inside; what the queue of runs needs.

Revision 0002, after 0001. Tables are called stored_…, so that the views can have the plain names.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from safetensors import SafetensorError
from safetensors.numpy import load

from storage.packing import packed
from storage.types import CompactUtcDateTime, Float32Array, HexDigest, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    _create_runs()
    _create_iterations()
    _create_workers()
    _create_tags()
    _create_checkpoints()
    _create_evaluations()
    _create_events()
    _copy()
    for table in OLD:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('stored_events', 'id'), "
            "coalesce((SELECT max(id) FROM stored_events), 0) + 1, false)"
        )


def downgrade() -> None:
    raise NotImplementedError("Restore the copy of the database from before the upgrade.")


def _create_runs() -> None:
    op.create_table(
        "stored_runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request", sa.String(length=16), nullable=True),
        sa.Column("request_reason", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("parent_iterations", sa.Integer(), nullable=True),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("iterations", sa.Integer(), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("images_digest", sa.Text(), nullable=True),
        sa.Column("labels", sa.LargeBinary(), nullable=True),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("first_loss", sa.Double(), nullable=True),
        sa.Column("final_loss", sa.Double(), nullable=True),
        sa.Column("test_loss", sa.Double(), nullable=True),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stored_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_stored_runs_id")),
    )
    for name, columns in {
        "ix_stored_runs_status_priority_created_at": ["status", "priority", "created_at"],
        "ix_stored_runs_name_created_at": ["name", "created_at"],
        "ix_stored_runs_created_at_id": ["created_at", "id"],
        "ix_stored_runs_final_loss": ["final_loss"],
    }.items():
        op.create_index(op.f(name), "stored_runs", columns, unique=False)


def _create_iterations() -> None:
    op.create_table(
        "stored_iterations",
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("gradient_norm", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("started_at", CompactUtcDateTime(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("parameters_digest", HexDigest(), nullable=False),
        sa.Column("ledger", sa.JSON(), nullable=False),
        sa.Column("predictions", sa.LargeBinary(), nullable=False),
        sa.Column("image_numbers", sa.LargeBinary(), nullable=False),
        sa.Column("image_values", Float32Array(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"],
            ["stored_runs.number"],
            name=op.f("fk_stored_iterations_stored_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run", "iteration", name=op.f("pk_stored_iterations")),
        sqlite_with_rowid=False,
    )


def _create_workers() -> None:
    op.create_table(
        "stored_workers",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"],
            ["stored_runs.number"],
            name=op.f("fk_stored_workers_stored_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_stored_workers")),
        sa.UniqueConstraint("run", "name", name=op.f("uq_stored_workers_run_name")),
    )


def _create_tags() -> None:
    op.create_table(
        "stored_tags",
        *_of_run("stored_tags"),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_stored_tags")),
    )
    op.create_index(op.f("ix_stored_tags_key_value"), "stored_tags", ["key", "value"], unique=False)


def _create_checkpoints() -> None:
    op.create_table(
        "stored_checkpoints",
        *_of_run("stored_checkpoints"),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.Column("optimizer_state", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "run_id", "completed_iterations", name=op.f("pk_stored_checkpoints")
        ),
    )


def _create_evaluations() -> None:
    op.create_table(
        "stored_evaluations",
        *_of_run("stored_evaluations"),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("confusion", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint(
            "run_id", "completed_iterations", name=op.f("pk_stored_evaluations")
        ),
    )


def _create_events() -> None:
    op.create_table(
        "stored_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *_of_run("stored_events"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_events")),
    )
    op.create_index(op.f("ix_stored_events_run_id"), "stored_events", ["run_id"], unique=False)


def _of_run(table: str) -> tuple[Any, ...]:
    return (
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["stored_runs.id"],
            name=op.f(f"fk_{table}_stored_runs"),
            ondelete="CASCADE",
        ),
    )


def _copy() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # as SQLite does: no scheduler may commit meanwhile
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(OLD)} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(
        f"INSERT INTO stored_runs ({KEPT['runs']}, status, final_loss, priority) "  # noqa: S608
        f"SELECT {KEPT['runs']}, state, last_loss, 0 FROM runs ORDER BY created_at, id"
    )
    for table in ("checkpoints", "evaluations", "events"):
        columns = KEPT[table]
        connection.exec_driver_sql(
            f"INSERT INTO stored_{table} ({columns}) SELECT {columns} FROM {table}"  # noqa: S608
        )
    newest = "run_id = stored_runs.id ORDER BY completed_iterations DESC LIMIT 1"
    connection.exec_driver_sql(
        f"UPDATE stored_runs SET test_loss = (SELECT loss FROM evaluations WHERE {newest}), "  # noqa: S608
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
