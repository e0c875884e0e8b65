"""A database whose commits a test watches: the moments between which their outcome is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection

from tapeworks.storage.connection.database import Database

#: Before the first one a transaction's statements are done and COMMIT is not sent; at the second
#: one it is committed, and nobody was told.
Moment = Literal["before_commit", "after_commit"]

#: May raise or end the process.
Observer = Callable[[Moment], None]


class ObservedDatabase(Database):
    """Tells its observer of every COMMIT of a writer."""

    def __init__(self, url: str | Path, observer: Observer) -> None:
        super().__init__(url)
        self._observer = observer

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            self._observer("before_commit")
        self._observer("after_commit")
