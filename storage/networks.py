"""The source texts of users' own networks, each stored once, for as long as a run is of it."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, func, select, text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import NetworkDamaged, NetworkNotFound, NetworkNotText
from tapeworks.storage.tables import networks, runs

#: Both databases know it; another submitter may store the same text at the same moment.
_INSERT = text(
    "INSERT INTO stored_networks (digest, source) VALUES (:digest, :source) "
    "ON CONFLICT (digest) DO NOTHING"
)

_IS_UNUSED = ~select(runs.c.id).where(runs.c.network_digest == networks.c.digest).exists()


def source_digest(source: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, in hexadecimal. Raises `NetworkNotText`."""
    try:
        return hashlib.sha256(source.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise NetworkNotText from error


def store_network(connection: Connection, source: str) -> None:
    """Store a network's source text, unless it is stored."""
    connection.execute(_INSERT, {"digest": source_digest(source), "source": source})


def read_network(connection: Connection, digest: str) -> str:
    """The source text of this digest. Raises `NetworkNotFound` or `NetworkDamaged`."""
    source = connection.scalar(select(networks.c.source).where(networks.c.digest == digest))
    if source is None:
        raise NetworkNotFound(digest)
    if source_digest(source) != digest:
        raise NetworkDamaged(digest)
    return str(source)


def prune_networks(database: Database, *, dry_run: bool) -> int:
    """Remove the source texts that no run is of; return how many. A dry run removes nothing."""
    with database.read() if dry_run else database.write() as connection:
        if dry_run:
            unused = select(func.count()).select_from(networks).where(_IS_UNUSED)
            return connection.scalar(unused) or 0
        if not database.is_sqlite:  # wait for submitters that have found their network stored
            connection.execute(text("LOCK TABLE stored_networks IN SHARE ROW EXCLUSIVE MODE"))
        return connection.execute(delete(networks).where(_IS_UNUSED)).rowcount
