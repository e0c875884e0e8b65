"""The client of a database, or of a web page."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from tapeworks.cli import given
from tapeworks.cli.given import Tags
from tapeworks.client.calls import with_known_arguments
from tapeworks.client.direct import Client, Config
from tapeworks.client.runs import Run
from tapeworks.errors import UsageError
from tapeworks.places import find_places
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import DatabaseMissing
from tapeworks.storage.history import History

#: The address of a web page without its scheme.
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}/?", re.IGNORECASE)


def connect(
    database_url: str | bytes | os.PathLike[str] | None = None, *, token: str | None = None
) -> Client:
    """A client of this database (a URL or the path of an SQLite file), else of the usual one.

    The usual one is named by TAPEWORKS_DATABASE_URL, as for the command line. Raises storage's
    `StorageUnreachable` or `SchemaMismatch`. Where there is no SQLite file, the first submission
    makes one and logs that; until then reading raises storage's `DatabaseMissing`. An address
    http://… is that of a `tapeworks web`, which is asked over REST with its `token`; raises
    `WebUnreachable`.
    """
    if isinstance(database_url, str) and database_url.lower().startswith(("http://", "https://")):
        from tapeworks.client.remote import RemoteClient

        return RemoteClient(database_url, given.read_optional(given.read_text, "token", token))
    if isinstance(database_url, str) and _HOST_AND_PORT.fullmatch(database_url):
        raise UsageError(
            f"Expected http:// before the address of a web page. Received: {database_url}; "
            f'connect with: tapeworks.connect("http://{database_url}")'
        )
    if token is not None:
        raise UsageError("A token is for the address of a web page, such as http://127.0.0.1:8470.")
    url = find_places().database_url if database_url is None else given.read_address(database_url)
    history = History(Database(url))
    with suppress(DatabaseMissing):  # its first submission makes it
        history.database.check_schema()
    return Client(history)


@with_known_arguments
def train(
    config: Config | None = None,
    *,
    workers: int | None = None,
    name: str | None = None,
    tags: Tags | None = None,
    note: str | None = None,
    init_from: str | os.PathLike[str] | None = None,
    resume: str | None = None,
    stop_after: int | None = None,
    pin: bool = True,
    progress: bool = True,
) -> Run:
    """Train on this machine, as `tapeworks train` does, with the usual database.

    `config` is a RunConfig, or a dictionary of its settings, which help(tapeworks.RunConfig) lists:
    train({"iterations": 20}). Beside it:

    - `workers`: processes; 0 computes in one without a queue, None as many as make it faster
    - `name`, `tags` as {"night": "monday"}, `note`: what the run is found by
    - `init_from`: a safetensors file of initial parameters
    - `resume`: the id or name of a paused or queued run, which goes on with its own settings
    - `stop_after`: iterations after which the run is paused
    - `pin`: False lets the system place the workers
    - `progress`: False shows nothing

    See `Client.train`, for a database that is connected to.
    """
    return connect().train(
        config,
        workers=workers,
        name=name,
        tags=tags,
        note=note,
        init_from=init_from,
        resume=resume,
        stop_after=stop_after,
        pin=pin,
        progress=progress,
    )
