"""First tables.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_runs()
    _create_checkpoints()
    _create_evaluations()
    _create_events()
    _create_iterations()
    _create_image_values()
    _create_ledger()


def downgrade() -> None:
    for table in (
        "ledger",
        "image_values",
        "iterations",
        "events",
        "evaluations",
        "checkpoints",
        "runs",
    ):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("iterations", sa.Integer(), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("images_digest", sa.Text(), nullable=True),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("first_loss", sa.Double(), nullable=True),
        sa.Column("last_loss", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_created_at_id"), "runs", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_runs_name_created_at"), "runs", ["name", "created_at"], unique=False)
    op.create_index(op.f("ix_runs_state_created_at"), "runs", ["state", "created_at"], unique=False)


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_checkpoints_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "completed_iterations", name=op.f("pk_checkpoints")),
    )


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("completed_iterations", sa.Integer(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_evaluations_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "completed_iterations", name=op.f("pk_evaluations")),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_events_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_run_id"), "events", ["run_id"], unique=False)


def _create_iterations() -> None:
    op.create_table(
        "iterations",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("gradient_norm", sa.Double(), nullable=False),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_iterations_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "iteration", name=op.f("pk_iterations")),
    )


def _create_image_values() -> None:
    op.create_table(
        "image_values",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "iteration"],
            ["iterations.run_id", "iterations.iteration"],
            name=op.f("fk_image_values_iterations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "iteration", name=op.f("pk_image_values")),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("microbatch", sa.Integer(), nullable=False),
        sa.Column("first_image", sa.BigInteger(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "iteration"],
            ["iterations.run_id", "iterations.iteration"],
            name=op.f("fk_ledger_iterations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "iteration", "microbatch", name=op.f("pk_ledger")),
        sa.UniqueConstraint(
            "run_id",
            "iteration",
            "first_image",
            name=op.f("uq_ledger_run_id_iteration_first_image"),
        ),
    )
