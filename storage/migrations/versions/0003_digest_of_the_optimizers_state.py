"""A digest beside the optimizer's state of each checkpoint, as beside its parameters.

Revision 0003, after 0002. What is stored already gets the digest of its bytes as they are now.
"""

import hashlib

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: The columns that are read and written here.
CHECKPOINTS = sa.table(
    "stored_checkpoints",
    sa.column("run_id", sa.String),
    sa.column("completed_iterations", sa.Integer),
    sa.column("optimizer_state", sa.LargeBinary),
    sa.column("state_digest", sa.Text),
)
KEY = (CHECKPOINTS.c.run_id, CHECKPOINTS.c.completed_iterations)


def upgrade() -> None:
    op.add_column("stored_checkpoints", sa.Column("state_digest", sa.Text(), nullable=True))
    connection, state = op.get_bind(), CHECKPOINTS.c.optimizer_state
    for key in connection.execute(sa.select(*KEY).where(state.is_not(None))).all():
        this = [column == value for column, value in zip(KEY, key, strict=True)]
        stored = connection.execute(sa.select(state).where(*this)).scalar_one()  # they are large
        digest = hashlib.sha256(stored).hexdigest()
        connection.execute(sa.update(CHECKPOINTS).where(*this).values(state_digest=digest))


def downgrade() -> None:
    raise CommandError("Nothing leads back; restore the copy from before the upgrade.")
