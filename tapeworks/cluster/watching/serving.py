"""The schedulers that serve a database, as far as Redis tells: nothing depends on what it says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapeworks.places import find_places
from tapeworks.storage.connection.database import Database
from tapeworks.storage.records import RunRecord, resume_words
from tapeworks.wire.addresses import without_password
from tapeworks.wire.errors import WorkersError

if TYPE_CHECKING:
    from tapeworks.wire.messages import SchedulerRecord

#: Others that are named in a sentence.
MOST_NAMED = 5

#: Seconds between two questions to Redis while a run waits.
ASK_SECONDS = 30.0

#: What is said when a scheduler has come.
SERVED = "A scheduler serves this database now"


@dataclass(frozen=True, slots=True)
class Serving:
    """The living schedulers of one Redis, beside the id of a database."""

    database_id: str
    schedulers: Sequence[SchedulerRecord]

    @property
    def others(self) -> list[SchedulerRecord]:
        """Those that serve other databases."""
        return [one for one in self.schedulers if one.database not in {"", self.database_id}]

    @property
    def is_served(self) -> bool:
        """True if one serves it, or may: before it has reached its database it does not tell."""
        return len(self.others) < len(self.schedulers)


def name_served(schedulers: Iterable[SchedulerRecord]) -> str:
    """Return names of schedulers, each with its database."""
    named = [f"{one.name} serves {one.address or one.database}" for one in schedulers]
    rest = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return "; ".join(named[:MOST_NAMED]) + rest


class Waiting:
    """A wait for a scheduler, and what was last said of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told, self._asked_at = SERVED, -math.inf

    def look(self, *, is_queued: bool) -> str | None:
        """Return a sentence if no scheduler serves the database any more, or if one does again.

        Redis is asked now and then, while a run is queued.
        """
        now = time.monotonic()
        if not is_queued:
            self._told, self._asked_at = SERVED, -math.inf
        elif now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            told = _describe(self._database)
            if told and told != self._told:
                self._told = told
                return told
        return None


def waiting_words(run: RunRecord) -> str:
    """Return a sentence about a queued run where nobody knows who may take it."""
    return f"Run {run.label} is queued; waiting for a scheduler to take it"


def describe_waiting(database: Database, run: RunRecord) -> str:
    """Return a sentence about a queued run, with how to go on where nobody may take it."""
    waits = waiting_words(run)
    if find_places().named_redis_url and describe_unserved(database) is None:
        return waits
    return f"{waits}. Without one, go on with: {resume_words(run.id)}"


def describe_unserved(database: Database) -> str | None:
    """Return a sentence if no living scheduler serves the database, with those that are there.

    None where no Redis is named, and where this user may not see schedulers, as a worker's.
    """
    told = _describe(database)
    return None if told == SERVED else told


def _describe(database: Database) -> str | None:
    """Return the same, or that one serves it."""
    try:
        url = find_places().named_redis_url
        if url is None:
            return None
        from tapeworks.wire.exchange import Exchange  # loads NumPy, which a watch needs not

        schedulers = Exchange(url, looks=True).list_visible_schedulers()
    except WorkersError as error:
        return f"Whether a scheduler serves this database is not known: {error}"
    if schedulers is None:
        return None
    serving = Serving(database.read_id(), schedulers)
    if serving.is_served:
        return SERVED
    place = without_password(url)
    if not serving.schedulers:
        return (
            f"No scheduler is alive at {place}; unless one serves this database through another "
            "Redis, start one with: tapeworks scheduler"
        )
    return (
        f"No living scheduler at {place} serves {database.address}, id {serving.database_id}: "
        f"{name_served(serving.others)}"
    )
