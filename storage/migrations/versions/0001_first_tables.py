"""The first tables.

Revision 0001. Tables are called stored_…, so that the views can have the plain names.
"""

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from tapeworks.storage.tables import CompactUtcDateTime, Float32Array, HexDigest

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_id()
    _create_networks()
    _create_runs()
    _create_submissions()
    _create_iterations()
    _create_workers()
    _create_tags()
    _create_checkpoints()
    _create_evaluations()
    _create_events()
    _create_deletions()


def downgrade() -> None:
    raise CommandError("Nothing leads back; restore the copy from before the upgrade.")


def _create_id() -> None:
    table = op.create_table(
        "stored_database_ids",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_database_ids")),
    )
    op.bulk_insert(table, [{"id": secrets.token_hex(8)}])


def _create_networks() -> None:
    op.create_table(
        "stored_networks",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_stored_networks")),
    )


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
        sa.Column("submitter", sa.Text(), nullable=True),
        sa.Column("submitter_host", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("parent_iterations", sa.Integer(), nullable=True),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("network_digest", sa.Text(), nullable=True),
        sa.Column("iterations", sa.Integer(), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("images_digest", sa.Text(), nullable=True),
        sa.Column("labels", sa.LargeBinary(), nullable=True),
        sa.Column("image_rows", sa.LargeBinary(), nullable=True),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("first_loss", sa.Double(), nullable=True),
        sa.Column("final_loss", sa.Double(), nullable=True),
        sa.Column("test_loss", sa.Double(), nullable=True),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["network_digest"],
            ["stored_networks.digest"],
            name=op.f("fk_stored_runs_stored_networks"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stored_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_stored_runs_id")),
    )
    for name, columns in {
        "ix_stored_runs_status_priority_created_at": ["status", "priority", "created_at"],
        "ix_stored_runs_name_created_at": ["name", "created_at"],
        "ix_stored_runs_created_at_id": ["created_at", "id"],
        "ix_stored_runs_final_loss": ["final_loss"],
        "ix_stored_runs_network_digest": ["network_digest"],
    }.items():
        op.create_index(op.f(name), "stored_runs", columns, unique=False)


def _create_submissions() -> None:
    op.create_table(
        "stored_submissions",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["stored_runs.id"],
            name=op.f("fk_stored_submissions_stored_runs"),
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("key", "place", name=op.f("pk_stored_submissions")),
    )
    op.create_index(
        op.f("ix_stored_submissions_run_id"), "stored_submissions", ["run_id"], unique=False
    )


def _create_iterations() -> None:
    op.create_table(
        "stored_iterations",
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("gradient_norm", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("started_at", CompactUtcDateTime(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
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
        sa.Column("state_digest", sa.Text(), nullable=True),
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
        sa.Column("accuracy", sa.Double(), nullable=True),
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
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("actor_host", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_events")),
    )
    op.create_index(op.f("ix_stored_events_run_id"), "stored_events", ["run_id"], unique=False)


def _create_deletions() -> None:
    op.create_table(
        "stored_deletions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitter", sa.Text(), nullable=True),
        sa.Column("submitter_host", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_host", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_deletions")),
    )


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
