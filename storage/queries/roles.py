"""The rights of the role that asks PostgreSQL: no query is more harmless than its role."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from tapeworks.storage.connection.database import Database

_POWERS = """SELECT current_user AS name,
  rolsuper OR rolreplication OR rolcreaterole OR EXISTS (
    SELECT FROM pg_roles AS other WHERE pg_has_role(current_user, other.oid, 'MEMBER')
    AND other.rolname IN ('pg_read_server_files', 'pg_write_server_files',
      'pg_execute_server_program', 'pg_signal_backend', 'pg_maintain')
  ) AS rules_server,
  coalesce(has_table_privilege(to_regclass('stored_runs'), 'INSERT, UPDATE, DELETE'), false)
    AS may_write
FROM pg_roles WHERE rolname = current_user"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A role of PostgreSQL and what it may do besides reading."""

    name: str
    #: Functions let it end others' sessions, or read and write the server's files.
    rules_server: bool
    #: It may change the history.
    may_write: bool

    @property
    def warning(self) -> str | None:
        """The warning for those who ask as this role, if it may do more than read."""
        if not (self.rules_server or self.may_write):
            return None
        more = "rule the server with functions" if self.rules_server else "change the history"
        return (
            f"Asked as the role {self.name}, which may {more}: a query of others is asked as a "
            "role that only reads (docs/queries.md)"
        )


def role_of(database: Database) -> Role | None:
    """The role that this database is asked as; None on SQLite, which has none."""
    if database.is_sqlite:
        return None
    with database.read() as connection:
        return Role(**connection.execute(text(_POWERS)).mappings().one())
