"""Settings of a session on PostgreSQL, whatever its role, its database or libpq says."""

from __future__ import annotations

from typing import Any

#: How values are written and read; also set in each transaction, for a pooler's other sessions.
VALUE_FORMATS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}

#: The same, and what a transaction is. Not the schema: a search_path may be meant.
POSTGRESQL_SESSION = VALUE_FORMATS | {
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
}

#: In one statement, for each new connection waits for it.
_SET = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) own(name, value)"


def settle(connection: Any, _record: object) -> None:
    """Give a new session our settings, outside of any transaction that could take them back."""
    connection.autocommit = True
    names, values = list(POSTGRESQL_SESSION), list(POSTGRESQL_SESSION.values())
    connection.execute(_SET, (names, values))
    connection.autocommit = False
