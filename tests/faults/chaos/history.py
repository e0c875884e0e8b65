"""The history in SQL, by queries of our own: commits as they appear, and all at the end."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

NEW = (
    "SELECT run_id, iteration, started_at, seconds, loss, attempts, workers, term "
    "FROM iterations WHERE run_id = :run AND iteration > :last ORDER BY iteration"
)
RUN = "SELECT status, reason, owner, completed_iterations, iterations FROM runs WHERE id = :run"
RESULTS = (
    "SELECT iteration, images, loss, parameters_digest "
    "FROM iterations WHERE run_id = :run ORDER BY iteration"
)
VALUES = (
    "SELECT iteration, place, loss, gradient_norm, predicted "
    "FROM images WHERE run_id = :run ORDER BY iteration, place"
)
LEDGER = "SELECT iteration, first_image, image_count FROM ledger WHERE run_id = :run"
EVENTS = "SELECT kind, count(*) FROM events WHERE run_id = :run GROUP BY kind ORDER BY kind"


class Unavailable(Exception):
    """The database does not answer now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One committed iteration, in everything that decides bits."""

    iteration: int
    images: int
    loss: float
    parameters_digest: str
    values_digest: str  #: of every image's loss, gradient norm and prediction


class History:
    """A database of the product. Opens a connection for each question: any of them may die."""

    def __init__(self, url: str) -> None:
        target = url if "://" in url else f"sqlite:///{url}"
        self._engine = create_engine(target, poolclass=NullPool)

    def run(self, run_id: str) -> dict[str, Any]:
        """State, reason, owner and progress of a run."""
        with self._connected() as connection:
            return dict(connection.execute(text(RUN), {"run": run_id}).mappings().one())

    def commits(self, run_id: str, last: int) -> list[dict[str, Any]]:
        """The iterations committed after the `last`, their `computed_at` in seconds."""
        with self._connected() as connection:
            rows = connection.execute(text(NEW), {"run": run_id, "last": last}).mappings().all()
        return [_commit(dict(row)) for row in rows]

    def results(self, run_id: str) -> list[Result]:
        """All iterations of a run, in order."""
        with self._connected() as connection:
            rows = connection.execute(text(RESULTS), {"run": run_id}).all()
            values: defaultdict[int, Any] = defaultdict(hashlib.sha256)
            for iteration, *of_image in connection.execute(text(VALUES), {"run": run_id}):
                values[iteration].update(repr(of_image).encode())
        return [
            Result(
                iteration=row.iteration,
                images=row.images,
                loss=row.loss,
                parameters_digest=row.parameters_digest,
                values_digest=values[row.iteration].hexdigest(),
            )
            for row in rows
        ]

    def ledger(self, run_id: str) -> list[tuple[int, int, int]]:
        """Iteration, first image and number of images of every line of the ledger."""
        with self._connected() as connection:
            rows = connection.execute(text(LEDGER), {"run": run_id}).all()
        return [(row[0], row[1], row[2]) for row in rows]

    def events(self, run_id: str) -> dict[str, int]:
        """Return how often the product itself noted each kind of event."""
        with self._connected() as connection:
            rows = connection.execute(text(EVENTS), {"run": run_id}).all()
        return {row[0]: row[1] for row in rows}

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise Unavailable(str(error)) from error


def _commit(row: dict[str, Any]) -> dict[str, Any]:
    started, seconds = row.pop("started_at"), row.pop("seconds")
    moment = datetime.fromisoformat(started) if isinstance(started, str) else started
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return row | {"computed_at": moment.timestamp() + seconds}
