"""The history's revisions. Free of Alembic, so that asking which one is needed costs nothing."""

#: The revision that this version of Tapeworks reads and writes: Alembic's head.
REVISION = "0001"
