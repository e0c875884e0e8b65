"""`tapeworks web`: runs in a browser, and over REST."""

from __future__ import annotations

import secrets
import socket
import sys
from contextlib import closing
from pathlib import Path

import click

from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.printing import put, say
from tapeworks.cli.own_places import find_own_places
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model.settings import HIGHEST_PORT
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import DEFAULT_PORT, LOOPBACK_NAMES, WebOptions
from tapeworks.web.server import is_everywhere, is_loopback, listen, serve
from tapeworks.wire.addresses import password_in
from tapeworks.wire.errors import PasswordUnusable

#: Characters of a token: fewer can be guessed.
SHORTEST_TOKEN = 16


@click.command("web", epilog="Example: tapeworks web --port 0 --read-only")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="the address to serve the page at"
)
@click.option(
    "--port",
    type=Whole(0, HIGHEST_PORT),
    default=DEFAULT_PORT,
    show_default=True,
    help="0: one that is free",
)
@click.option("--read-only", is_flag=True, help="change nothing, and connect as one who cannot")
@click.option("--token-file", type=PathType(), help="a file with what one needs to be let in")
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="may be repeated: other host names that browsers reach it by, as through a proxy",
)
def web_command(
    host: str, port: int, read_only: bool, token_file: Path | None, names: tuple[str, ...]
) -> int:
    """Show runs in a browser, and serve them over REST, until Ctrl-C.

    It works with the database alone; with TAPEWORKS_REDIS_URL it shows living workers, too. On
    127.0.0.1 everybody on this machine may use it; at any other address, or with --token-file,
    those alone who have the token.
    """
    token = _read_token(token_file) if token_file else None
    places = find_own_places()
    database = Database(places.database_url, read_only=read_only)
    with closing(database), closing(listen(host, port)) as listener:
        database.check_schema()
        is_made = token is None and not is_loopback(listener)
        if is_made:
            token = secrets.token_urlsafe(32)
        options = WebOptions(
            read_only=read_only,
            token=token,
            hosts=LOOPBACK_NAMES | {name.lower() for name in (_name(listener, host), *names)},
            any_address=not is_loopback(listener),
            redis_url=places.named_redis_url,
            cookie=f"tapeworks_{listener.getsockname()[1]}",
        )
        _tell(database, listener, host, options, is_made=is_made)
        serve(create_app(History(database), options), listener)
    say("Web page stopped")
    return ExitCode.INTERRUPTED


def _read_token(file: Path) -> str:
    try:
        token = password_in(file)
    except PasswordUnusable as error:
        raise UsageError(str(error).replace("a password", "a token")) from error
    if len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token:
        raise UsageError(
            f"Expected a token of {SHORTEST_TOKEN} characters of ASCII or more, without spaces, in "
            f"{file}. Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def _tell(
    database: Database, listener: socket.socket, host: str, options: WebOptions, *, is_made: bool
) -> None:
    """Print the address; with the token in it where no file holds that, or a person looks on.

    What stands behind a # is sent to no server, so no log has it. A file's token is not printed
    where the output may be a service's log.
    """
    name = _name(listener, host)
    shown = f"[{name}]" if ":" in name else name
    address = f"http://{shown}:{listener.getsockname()[1]}/"
    say(f"Web page shows {database.address}; Ctrl-C stops it")
    if is_made:
        say("Whoever has this link may use it; --token-file names a token that stays the same")
    if options.token and (is_made or sys.stdout.isatty()):
        address += f"login#token={options.token}"
    put(address)


def _name(listener: socket.socket, host: str) -> str:
    """The name in the address: where all of this machine's addresses are served, its own."""
    return socket.gethostname() if is_everywhere(listener) else host
