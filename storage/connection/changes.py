"""Cheap proof that a database has not changed since it was last read."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.sqlite_access import access_to, stamp, uri_of
from tapeworks.storage.errors import StorageUnreachable

#: Equal as long as no transaction that writes begins or ends, whoever's; and of one server alone.
_POSTGRESQL = text("SELECT txid_current_snapshot()::text || ' ' || pg_postmaster_start_time()")


class Changes:
    """Tells versions of a database apart.

    Two equal versions are of the same content; two different ones may be, too, as all of two
    objects are for a file, whose own count of changes begins anew with each connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._watcher: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._opened = 0
        self._object_id = secrets.token_hex(8)

    def version(self) -> str:
        """Return what differs after any change. Raises `StorageUnreachable`."""
        if self._database.file:
            with self._lock:
                return self._of_file(self._database.file)
        with self._database.read() as connection:
            return str(connection.execute(_POSTGRESQL).scalar_one())

    def close(self) -> None:
        """Close what watches a file; the next use opens it again."""
        with self._lock:
            self._forget()

    def _of_file(self, file: Path) -> str:
        try:
            watcher = self._watch(file)
            with closing(watcher.execute("PRAGMA data_version")) as cursor:
                [version] = cursor.fetchone()
        except (OSError, sqlite3.Error) as error:
            self._forget()
            raise StorageUnreachable(
                f"Cannot use the database {self._database.address}: {error}. "
                "Put the file back, or name another"
            ) from error
        return f"{self._object_id} {self._opened} {version} {stamp(file)}"

    def _watch(self, file: Path) -> sqlite3.Connection:
        """Return one connection for all calls: only the same one tells what others commit."""
        found = file.stat()
        file_id = (found.st_dev, found.st_ino)
        if self._watcher is None or self._file_id != file_id:
            self._forget()
            uri = uri_of(file, access_to(file))
            self._watcher = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._file_id, self._opened = file_id, self._opened + 1
        return self._watcher

    def _forget(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = None
