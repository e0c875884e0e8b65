"""Run by Alembic: applies revisions on the connection that `upgrade.py` hands over."""

from alembic import context

from tapeworks.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
    # Elsewhere on PostgreSQL's search path may be another program's.
    version_table_schema=context.config.attributes["place"],
)

with context.begin_transaction():
    context.run_migrations()
