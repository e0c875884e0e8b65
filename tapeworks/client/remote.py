"""The Python client's methods over REST, for programs that reach a `tapeworks web` and no database.

Runs and their methods are those of the client; what they ask the history is asked of the page.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast
from urllib.parse import quote

from tapeworks.cli import given
from tapeworks.cli.choices import read_moment
from tapeworks.cli.given import Described, Tags
from tapeworks.client.direct import Client, Config, read_settings
from tapeworks.client.runs import Run
from tapeworks.client.web_requests import MOST_ITEMS, Connection, as_kind
from tapeworks.cluster.watching.serving import waiting_words
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.plotting.hardest import RunImage
from tapeworks.plotting.image_losses import By
from tapeworks.scheduler.submission import list_choices
from tapeworks.storage.actors import own_actor
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import IterationNotFound, QueryTooLarge, RunNotFound
from tapeworks.storage.history import History
from tapeworks.storage.queries.query_limits import DEFAULT_SECONDS, SHORTEST_SECONDS
from tapeworks.storage.records import (
    CheckpointRecord,
    EvaluationRecord,
    EventRecord,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    WorkerSummary,
)
from tapeworks.storage.run_queue import Noted

if TYPE_CHECKING:
    from pandas import DataFrame

#: Rows of a query: the most that are given.
MOST_ROWS = 10_000

#: The parts of a history that no page gives, and the words for them.
NOT_GIVEN = {
    "database": "what is stored of a run's images",
    "image_values_of": "the values of all iterations' images at once",
    "list_recorded_iterations": "the values of all iterations' images at once",
    "network_source": "the code of a network",
}

Kind = TypeVar("Kind")


class RemoteClient(Client):
    """The client of a `tapeworks web`. Code and files stay where they are: it takes settings."""

    def __init__(self, address: str, token: str | None) -> None:
        self._connection = Connection(address, token)
        super().__init__(cast(History, RemoteHistory(self._connection)))

    def __repr__(self) -> str:
        return f"<Client of {self._connection.address}>"

    @property
    def database(self) -> Database:
        raise UsageError(
            "A client of a web page has no database; connect to the database itself, ask with "
            "query(), or have runs trained by its scheduler with submit()."
        )

    def _queue(
        self,
        config: Config,
        varied: Mapping[str, Iterable[Any]],
        *,
        name: str | None,
        tags: Tags | None,
        note: str | None,
        priority: int,
        paused: bool,
        init_from: str | os.PathLike[str] | None,
    ) -> list[Run]:
        """Have the web page queue one run if nothing varies, else a grid.

        Raises `UsageError` for a file of initial parameters, which is not sent.
        """
        if init_from is not None:
            raise UsageError(
                "Initial parameters are not sent to a web page; submit the run with a client of "
                "the database, or on the command line with --init-from."
            )
        settings = read_settings(config, varied)
        described = given.read_described(
            name=name, tags={} if tags is None else tags, note=note, priority=priority
        )
        body = {
            "config": settings,
            "vary": {name: list_choices(name, choices) for name, choices in varied.items()},
            "paused": given.read_truth("paused", paused),
            **described,
        }
        told = self._connection.send("POST", "/runs", body, has_key=True)
        return [self._run(as_kind(RunRecord, run)) for run in told["runs"]]

    def runs(
        self,
        *,
        where: str | None = None,
        status: str | Collection[str] | None = None,
        tags: Tags | None = None,
        since: date | timedelta | str | None = None,
        mine: bool = False,
        sort: str = "created_at",
        descending: bool = True,
        limit: int | None = None,
    ) -> list[Run]:
        """The runs that fulfil everything that is asked for, by default the newest first."""
        wanted_tags = given.read_optional(given.read_tags, "tags", tags) or {}
        moment = given.read_optional(read_moment, "since", since)
        most = given.read_optional(given.read_count, "limit", limit)
        found = self._connection.items(
            "/runs",
            RunRecord,
            where=given.read_optional(given.read_text, "where", where),
            status=given.read_optional(given.read_statuses, "status", status),
            tag=[f"{key}={value}" for key, value in wanted_tags.items()],
            since=moment and moment.isoformat(),
            submitter=own_actor().user if given.read_truth("mine", mine) else None,
            sort=given.read_text("sort", sort),
            order="desc" if given.read_truth("descending", descending) else "asc",
            limit=min(most or MOST_ITEMS, MOST_ITEMS),
        )
        return [self._run(record) for record in islice(found, most)]

    def query(self, sql: str, *, seconds: float = DEFAULT_SECONDS) -> DataFrame:
        """Return what a SELECT over the views finds; at most 10,000 rows within 30 seconds."""
        import pandas

        body = {
            "sql": given.read_text("sql", sql),
            "seconds": given.read_number("seconds", seconds, SHORTEST_SECONDS, DEFAULT_SECONDS),
            "limit": MOST_ROWS,
        }
        found = self._connection.send("POST", "/query", body)
        if found["more"]:
            raise QueryTooLarge(
                f"its answer has more than {MOST_ROWS} rows. Ask for a part at a time with LIMIT"
            )
        return pandas.DataFrame(found["rows"], columns=found["columns"])

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self._connection.close()

    def _run(self, record: RunRecord) -> Run:
        return RemoteRun(self._connection, self._history, record)


class RemoteRun(Run):
    """A run of a page."""

    def __init__(self, connection: Connection, history: History, record: RunRecord) -> None:
        super().__init__(history, record)
        self._connection = connection

    def retry(
        self,
        *,
        after: int | None = None,
        changes: Mapping[str, Any] | None = None,
        **described: Unpack[Described],
    ) -> Run:
        """A new run of its configuration with changes, from its beginning or a checkpoint.

        Raises `NetworkNotAllowed` where a user's network would have to be checked again.
        """
        body = {
            "after": given.read_optional(given.read_whole, "after", after),
            "changes": given.read_optional(given.read_mapping, "changes", changes) or {},
            **given.read_described(**described),
        }
        told = self._connection.send("POST", f"/runs/{self.id}/retry", body, has_key=True)
        return RemoteRun(self._connection, self._history, as_kind(RunRecord, told))

    def _waiting_words(self) -> str:
        return waiting_words(self.record)

    def _list_hardest(self, by: By, limit: int) -> list[RunImage]:
        most = min(limit, MOST_ITEMS)
        images = self._connection.items(_path(self.id) + "/images", RunImage, by=by, limit=most)
        return list(islice(images, limit))


class RemoteHistory:
    """The part of `History` and its queue that runs ask, over REST."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name not in NOT_GIVEN:
            raise AttributeError(name)
        raise UsageError(
            f"A web page does not give {NOT_GIVEN[name]}; use a client of the database itself."
        )

    @property
    def queue(self) -> RemoteHistory:
        """The requests that anybody may make."""
        return self

    def release_abandoned(self) -> None:
        """Nothing: the page does it before every answer."""

    def find_run(self, reference: str) -> RunRecord:
        if not reference or "/" in reference:
            raise RunNotFound(reference)  # no run is called so, and no path leads there
        if reference in {".", ".."}:
            raise InvalidValue("the run's id, as this name has no URL", "run", reference)
        return as_kind(RunRecord, self._connection.get(_path(reference)))

    def tags(self, run_id: str) -> dict[str, str]:
        found: dict[str, str] = self._connection.get(_path(run_id))["tags"]
        return found

    def iterations(self, run_id: str, first: int = 0) -> list[IterationRecord]:
        """All of them, or the few that follow the one with the number `first`."""
        if not first:
            return self._all(run_id, "iterations", IterationRecord)
        found = list[IterationRecord]()
        with suppress(IterationNotFound):
            while True:
                path = f"{_path(run_id)}/iterations/{first + len(found)}"
                found.append(as_kind(IterationRecord, self._connection.get(path)))
        return found

    def curve(self, run: RunRecord) -> list[IterationRecord]:
        """The run's iterations after those of the runs that it goes on from."""
        inherited = [
            record
            for ancestor, until in self._ancestors(run)
            for record in self.iterations(ancestor.id)
            if record.iteration < until
        ]
        return inherited + self.iterations(run.id)

    def list_inherited_evaluations(
        self, run: RunRecord
    ) -> list[tuple[RunRecord, EvaluationRecord]]:
        """The evaluations of the runs that it goes on from, on their way to it, in order."""
        return [
            (ancestor, evaluation)
            for ancestor, until in self._ancestors(run)
            for evaluation in self.evaluations(ancestor.id)
            if evaluation.completed_iterations <= until
        ]

    def _ancestors(self, run: RunRecord) -> list[tuple[RunRecord, int]]:
        """Those that were not deleted, the oldest first, with the iterations it has of each."""
        found = list[tuple[RunRecord, int]]()
        with suppress(RunNotFound):
            while run.parent_id and run.parent_iterations:
                until = run.parent_iterations
                run = self.find_run(run.parent_id)
                found.insert(0, (run, until))
        return found

    def ledger(self, run_id: str, iteration: int | None = None) -> list[LedgerRecord]:
        return self._all(run_id, "ledger", LedgerRecord, iteration=iteration)

    def workers(self, run_id: str) -> list[WorkerSummary]:
        return self._all(run_id, "workers", WorkerSummary)

    def events(self, run_id: str) -> list[EventRecord]:
        return self._all(run_id, "events", EventRecord)

    def evaluations(self, run_id: str) -> list[EvaluationRecord]:
        return self._all(run_id, "evaluations", EvaluationRecord)

    def image_values(self, run_id: str, iteration: int) -> ImageValues:
        """The values of each image, as they are stored."""
        path = f"{_path(run_id)}/iterations/{iteration}/images"
        images = list(self._connection.items(path, dict))
        column = {
            name: [image[name] for image in images]
            for name in ("image", "loss", "gradient_norm", "predicted")
        }
        places = list(range(len(images)))
        return ImageValues(
            losses=_floats(column["loss"]),
            gradient_norms=_unless_none(_floats, column["gradient_norm"]),
            predictions=_unless_none(bytes, column["predicted"]),
            image_numbers=None
            if column["image"] == places
            else array("i", column["image"]).tobytes(),
        )

    def checkpoint(self, run_id: str, completed_iterations: int | None = None) -> CheckpointRecord:
        """The parameters after so many iterations, or the newest."""
        query = {} if completed_iterations is None else {"after": completed_iterations}
        answer = self._connection.ask("GET", f"{_path(run_id)}/parameters", params=query)
        return CheckpointRecord(
            run_id=run_id,
            completed_iterations=int(answer.headers["tapeworks-completed-iterations"]),
            digest=answer.headers["etag"].strip('"'),
            parameters=answer.content,
        )

    def pause(self, run_id: str, reason: str | None = None) -> RunRecord:
        return self._change(run_id, "pause", reason=reason)

    def resume(self, run_id: str) -> RunRecord:
        return self._change(run_id, "resume")

    def cancel(self, run_id: str, reason: str | None = None) -> RunRecord:
        return self._change(run_id, "cancel", reason=reason)

    def set_priority(self, run_id: str, priority: int) -> RunRecord:
        return self._change(run_id, "priority", priority=priority)

    def describe(self, run_id: str, **noted: Unpack[Noted]) -> RunRecord:
        return as_kind(RunRecord, self._connection.send("PATCH", _path(run_id), noted))

    def delete(self, run_id: str) -> None:
        self._connection.ask("DELETE", _path(run_id))

    def _change(self, run_id: str, wish: str, **body: Any) -> RunRecord:
        return as_kind(RunRecord, self._connection.send("POST", f"{_path(run_id)}/{wish}", body))

    def _all(self, run_id: str, name: str, kind: type[Kind], **query: Any) -> list[Kind]:
        return list(self._connection.items(f"{_path(run_id)}/{name}", kind, **query))


def _path(reference: str) -> str:
    return f"/runs/{quote(reference, safe='', errors='replace')}"


def _floats(values: Iterable[float | None]) -> bytes:
    return array("f", [math.nan if value is None else value for value in values]).tobytes()


def _unless_none(make: Callable[[list[Any]], bytes], values: list[Any]) -> bytes | None:
    """Return None where no image has a value."""
    return None if all(value is None for value in values) else make(values)
