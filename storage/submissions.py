"""Keys of submissions: a request that is sent again, because its answer was lost, adds no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text

from tapeworks.storage.errors import SubmissionKeyReused
from tapeworks.storage.tables import submissions

#: Both databases know it. It waits for another submitter of the same key, as long as that writes.
_CLAIM = text(
    "INSERT INTO stored_submissions (key, place, run_id, digest) "
    "VALUES (:key, 0, :run_id, :digest) ON CONFLICT (key, place) DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionKey:
    """A client's name for one submission."""

    key: str
    #: Of everything that is asked for with it.
    digest: str


def find_submission(connection: Connection, wanted: SubmissionKey) -> list[str]:
    """Return the ids of the runs that were submitted with the key and are still there, in order.

    Raises `SubmissionKeyReused` if something else was asked for with it.
    """
    of_key = submissions.c.key == wanted.key
    columns = submissions.c.run_id, submissions.c.digest
    found = connection.execute(select(*columns).where(of_key).order_by(submissions.c.place)).all()
    if any(row.digest != wanted.digest for row in found):
        raise SubmissionKeyReused(wanted.key)
    return [row.run_id for row in found]


def register_submission(
    connection: Connection, wanted: SubmissionKey, run_ids: Sequence[str]
) -> list[str]:
    """Register these runs, which are to be stored next, unless the key has runs: return those."""
    if found := find_submission(connection, wanted):
        return found
    values = {"key": wanted.key, "digest": wanted.digest}
    if not connection.execute(_CLAIM, values | {"run_id": run_ids[0]}).rowcount:
        return find_submission(connection, wanted)
    others = [values | {"place": place, "run_id": one} for place, one in enumerate(run_ids)][1:]
    if others:
        connection.execute(insert(submissions), others)
    return []
