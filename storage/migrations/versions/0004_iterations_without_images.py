"""Iterations whose images' values are not stored.

Revision 0004, after 0003. Tables stay as they are; the views, made anew after every upgrade, show
no image of such an iteration. An older Tapeworks would take its empty columns for damage.
"""

from alembic.util import CommandError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing to change in the tables."""


def downgrade() -> None:
    raise CommandError("Nothing leads back; restore the copy from before the upgrade.")
