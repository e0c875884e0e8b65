"""`tapeworks query`: asks the history anything, in SQL."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tapeworks.connection import connected_history
from tapeworks.errors import ExitCode, UsageError
from tapeworks.listings import Form, put_listing, with_form_options
from tapeworks.option_kinds import Number
from tapeworks.output import say
from tapeworks.paths import PathType
from tapeworks.storage.asking.limits import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from tapeworks.storage.asking.roles import Role, role_of
from tapeworks.storage.search import query

#: What Windows writes before a text; no SQL begins with it.
BYTE_ORDER_MARK = "\ufeff"


@click.command(
    "query",
    epilog='Example: tapeworks query "SELECT id, final_loss FROM runs WHERE final_loss < 12"',
)
@click.argument("sql", required=False)
@click.option("--file", type=PathType(), help="a file that holds the SQL")
@click.option(
    "--seconds",
    type=Number(SHORTEST_SECONDS, LONGEST_SECONDS),
    default=DEFAULT_SECONDS,
    show_default=True,
    help="stop a query that takes longer",
)
@with_form_options
def command(sql: str | None, file: Path | None, seconds: float, form: Form) -> int:
    """Print what one SELECT finds. SQL is the query, or - to read it from the standard input.

    Nothing in the history changes. On PostgreSQL, ask as a role that only reads. The views are
    runs, iterations, images, ledger, workers, events, evaluations, checkpoints and tags: see
    docs/queries.md.
    """
    asked = _read(sql, file)
    history = connected_history()
    history.release_abandoned()
    put_listing(query(history.database, asked, seconds=seconds), form)
    if warning := _about(role_of(history.database)):
        say(warning)
    return ExitCode.DONE


def _about(role: Role | None) -> str | None:
    """Return what is not promised, since the role that asks may do more than read."""
    if role is None or not (role.rules_server or role.may_write):
        return None
    more = "rule the server with functions" if role.rules_server else "change the history"
    return (
        f"Asked as the role {role.name}, which may {more}: a query of others is asked as a role "
        "that only reads (docs/queries.md)"
    )


def _read(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise UsageError('Expected one query: tapeworks query "SELECT …", or --file FILE, or -')
    if sql == "-" or str(file) == "-":
        return _standard_input()
    if sql is not None:
        return sql
    return _content(file or Path())


def _standard_input() -> str:
    try:
        return sys.stdin.read().removeprefix(BYTE_ORDER_MARK)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Standard input cannot be read as text: {error}.") from error


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise UsageError(f"The query {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The query {file} is not UTF-8 text.") from error
