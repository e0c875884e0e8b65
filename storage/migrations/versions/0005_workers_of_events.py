"""The worker that an event is about.

Revision 0005, after 0004. Events that are stored already name theirs in their message alone.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stored_events", sa.Column("worker", sa.Text(), nullable=True))


def downgrade() -> None:
    raise CommandError("Nothing leads back; restore the copy from before the upgrade.")
