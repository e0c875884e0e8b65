"""The Python client: what the command line does with runs, as functions.

import tapeworks

client = tapeworks.connect()
run = client.submit(tapeworks.RunConfig(iterations=20), name="from Python")
run.wait()
run.history().plot(x="iteration", y="loss")
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from datetime import date, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Unpack

from tapeworks.cli import given
from tapeworks.cli.choices import read_moment
from tapeworks.cli.given import Described, Noted, Tags
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.parameters import Arrays, from_bytes
from tapeworks.places import find_places
from tapeworks.scheduler.submission import grid, new_runs, prepare_runs, retry
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import NotCopied
from tapeworks.storage.history import History
from tapeworks.storage.queries.query_limits import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
)
from tapeworks.storage.queries.search import find_runs, query
from tapeworks.storage.records import (
    EvaluationRecord,
    EventRecord,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
    WorkerSummary,
)
from tapeworks.storage.references import validate_name

if TYPE_CHECKING:
    from pandas import DataFrame

#: Seconds between two looks at a run that is waited for.
LOOK_SECONDS = 0.2


def connect(
    database_url: str | bytes | os.PathLike[str] | None = None, *, token: str | None = None
) -> Client:
    """A client of this database (a URL or the path of an SQLite file), else of the usual one.

    The usual one is named by TAPEWORKS_DATABASE_URL, as for the command line. Raises storage's
    `StorageUnreachable` or `SchemaMismatch`. An address http://… is that of a `tapeworks web`,
    which is asked over REST with its `token`; raises `WebUnreachable`.
    """
    if isinstance(database_url, str) and database_url.lower().startswith(("http://", "https://")):
        from tapeworks.remote_client import RemoteClient

        return RemoteClient(database_url, given.read_optional(given.read_text, "token", token))
    if token is not None:
        raise UsageError("A token is for the address of a web page, such as http://127.0.0.1:8470.")
    url = find_places().database_url if database_url is None else given.read_address(database_url)
    return Client(History.open(url))


class Client:
    """Submits runs and finds them. Holds connections until `close`; also a context manager."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __reduce__(self) -> Never:
        raise NotCopied("client")

    @property
    def database(self) -> Database:
        """The database that this client works with."""
        return self._history.database

    def submit(
        self,
        config: RunConfig,
        *,
        name: str | None = None,
        tags: Tags | None = None,
        note: str | None = None,
        priority: int = 0,
        paused: bool = False,
        init_from: str | os.PathLike[str] | None = None,
    ) -> Run:
        """Queue a run for a scheduler of this database.

        `init_from` is a safetensors file of initial parameters. Raises model's `ModelError` for
        what cannot be trained, storage's `StorageError` for a name, tag or note that is none,
        `InvalidValue` for a value of another kind.
        """
        return self.submit_grid(
            config,
            {},
            name=name,
            tags=tags,
            note=note,
            priority=priority,
            paused=paused,
            init_from=init_from,
        )[0]

    def submit_grid(
        self,
        config: RunConfig,
        vary: Mapping[str, Iterable[Any]],
        *,
        name: str | None = None,
        tags: Tags | None = None,
        note: str | None = None,
        priority: int = 0,
        paused: bool = False,
        init_from: str | os.PathLike[str] | None = None,
    ) -> list[Run]:
        """Queue a run for every combination of the settings that vary, all or none of them.

        A name gets the runs' numbers: name-1, name-2, …
        """
        given_tags = {} if tags is None else tags
        described = given.read_described(name=name, tags=given_tags, note=note, priority=priority)
        label = validate_name(described.pop("name"))
        status = RunStatus.PAUSED if given.read_truth("paused", paused) else RunStatus.QUEUED
        start = given.read_optional(given.read_path, "init_from", init_from)
        varied = given.read_mapping("vary", vary)
        prepared = prepare_runs(grid(_settings_of(config), varied), start)
        new = new_runs(prepared, name=label, is_grid=bool(varied), status=status, **described)
        return [self._run(record) for record in self._history.queue.submit(new)]

    def run(self, reference: str) -> Run:
        """The run with this id, unique prefix of one, or name (the newest of it).

        Raises storage's `RunNotFound` or `AmbiguousRun`.
        """
        self._history.release_abandoned()
        return self._run(self._history.find_run(given.read_text("run", reference)))

    def runs(
        self,
        *,
        where: str | None = None,
        status: str | Collection[str] | None = None,
        tags: Tags | None = None,
        since: date | timedelta | str | None = None,
        sort: str = "created_at",
        descending: bool = True,
        limit: int | None = None,
    ) -> list[Run]:
        """The runs that fulfil everything that is asked for, by default the newest first.

        `where` is a condition in SQL over the columns of the view `runs` (docs/queries.md);
        `status` is one or several; `tags` must all be there; `since` is a time or day, local unless
        it has a time zone, or so long ago. Raises storage's `QueryError` for what is no such
        condition.
        """
        wanted: dict[str, Any] = {
            "where": given.read_optional(given.read_text, "where", where),
            "status": given.read_optional(given.read_statuses, "status", status) or (),
            "tags": given.read_optional(given.read_tags, "tags", tags),
            "since": given.read_optional(read_moment, "since", since),
            "sort": given.read_text("sort", sort),
            "descending": given.read_truth("descending", descending),
            "limit": given.read_optional(given.read_count, "limit", limit),
        }
        self._history.release_abandoned()
        found = find_runs(self.database, columns=["id"], **wanted)
        return [self._run(self._history.find_run(str(run_id))) for run_id in found.column("id")]

    def query(self, sql: str, *, seconds: float = DEFAULT_SECONDS) -> DataFrame:
        """Return what a SELECT over the views finds; nothing can be changed with it.

        Raises storage's `QueryError`, after so many seconds `QueryTimeout`.
        """
        import pandas

        longest = given.read_number("seconds", seconds, SHORTEST_SECONDS, LONGEST_SECONDS)
        found = query(self.database, given.read_text("sql", sql), seconds=longest)
        return pandas.DataFrame(list(found.rows), columns=list(found.columns))

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.database.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, record: RunRecord) -> Run:
        return Run(self._history, record)


class Run:
    """A run as it stood when it was last looked at; `refresh` looks again, as `wait` does."""

    def __init__(self, history: History, record: RunRecord) -> None:
        self._history = history
        #: Everything of its row.
        self.record = record

    def __reduce__(self) -> Never:
        raise NotCopied("run")

    def __repr__(self) -> str:
        done = f"{self.record.completed_iterations}/{self.record.iterations}"
        return f"Run(id={self.id!r}, name={self.name!r}, status={self.status.value!r}, {done})"

    @property
    def id(self) -> str:
        """Sorts by time and is unique."""
        return self.record.id

    @property
    def name(self) -> str | None:
        """The name that people call it by."""
        return self.record.name

    @property
    def status(self) -> RunStatus:
        """Its status when it was last looked at."""
        return self.record.status

    @property
    def config(self) -> RunConfig:
        """Its configuration, with every setting."""
        return restore_config(self.record.configuration)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, by key."""
        return self._history.tags(self.id)

    def refresh(self) -> Run:
        """Look again; the same object."""
        self._history.release_abandoned()
        self.record = self._history.find_run(self.id)
        return self

    def wait(self, timeout_seconds: float | None = None) -> Run:
        """Wait until it ends or is paused. Its status tells how: a failure is not an error here.

        Raises `TimeoutError` when it still goes on then, and leaves it alone.
        """
        limit = given.read_optional(given.read_seconds, "timeout_seconds", timeout_seconds)
        deadline = None if limit is None else time.monotonic() + limit
        while not (self.refresh().status.is_finished or self.status is RunStatus.PAUSED):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Run {self.id} is {self.status} after {limit:g} seconds.")
            time.sleep(LOOK_SECONDS)
        return self

    # Its history

    def history(self) -> DataFrame:
        """A row per committed iteration: loss, accuracy, gradient norm, seconds, digests."""
        return _frame(IterationRecord, self._history.iterations(self.id))

    def ledger(self, iteration: int | None = None) -> DataFrame:
        """Return which worker computed which images, of one iteration or of all.

        An iteration that was not recorded in full (`record_images_every`) has no times.
        """
        chosen = given.read_optional(given.read_whole, "iteration", iteration)
        return _frame(LedgerRecord, self._history.ledger(self.id, chosen))

    def workers(self) -> DataFrame:
        """A row per worker: images, answers, seconds."""
        return _frame(WorkerSummary, self._history.workers(self.id))

    def events(self) -> DataFrame:
        """Return its events, in order."""
        return _frame(EventRecord, self._history.events(self.id))

    def evaluations(self) -> DataFrame:
        """Loss and accuracy on held-out images, in the order of their iterations."""
        return _frame(EvaluationRecord, self._history.evaluations(self.id))

    def images(self, iteration: int) -> DataFrame:
        """A row per image of an iteration: its number in the data, loss, gradient norm, prediction.

        The prediction is an index into the run's classes. What the network or its gradients do not
        give is missing in every row: NaN, or pandas.NA. Raises storage's `IterationNotFound`, or
        `IterationNotRecorded` for one of which these were not stored (`record_images_every`).
        """
        import numpy as np
        import pandas

        values = self._history.image_values(self.id, given.read_whole("iteration", iteration))
        losses = np.frombuffer(values.losses, "<f4")
        numbers = values.image_numbers
        image = np.arange(len(losses)) if numbers is None else np.frombuffer(numbers, "<i4")
        return pandas.DataFrame(
            {
                "image": image,
                "loss": losses,
                "gradient_norm": np.full(len(losses), np.nan, "<f4")
                if values.gradient_norms is None
                else np.frombuffer(values.gradient_norms, "<f4"),
                "predicted": pandas.array([pandas.NA] * len(losses), dtype="UInt8")
                if values.predictions is None
                else np.frombuffer(values.predictions, np.uint8),
            }
        )

    def parameters(self, completed_iterations: int | None = None) -> Arrays:
        """The arrays after so many iterations, or the newest, by name.

        Raises storage's `CheckpointNotFound` for what was not kept.
        """
        after = given.read_optional(given.read_whole, "completed_iterations", completed_iterations)
        return from_bytes(self._history.checkpoint(self.id, after).parameters)

    # What may be wished of it

    def pause(self, reason: str | None = None) -> Run:
        """Have it stop after the iteration in progress. Raises storage's `StateConflict`."""
        return self._became(self._history.queue.pause(self.id, given.read_words("reason", reason)))

    def resume(self) -> Run:
        """Queue it again. Raises storage's `StateConflict` unless it is, or is to be, paused."""
        return self._became(self._history.queue.resume(self.id))

    def cancel(self, reason: str | None = None) -> Run:
        """End it for good, within one iteration. Raises storage's `StateConflict`."""
        return self._became(self._history.queue.cancel(self.id, given.read_words("reason", reason)))

    def set_priority(self, priority: int) -> Run:
        """Have it taken before all runs of a lower priority."""
        wanted = given.read_priority("priority", priority)
        return self._became(self._history.queue.set_priority(self.id, wanted))

    def describe(self, **noted: Unpack[Noted]) -> Run:
        """Give it a `note`, or `tags` in place of all its own. Raises storage's `StorageError`."""
        return self._became(self._history.queue.describe(self.id, **given.read_noted(**noted)))

    def retry(
        self,
        *,
        after: int | None = None,
        changes: Mapping[str, Any] | None = None,
        **described: Unpack[Described],
    ) -> Run:
        """A new run of its configuration with changes, from its beginning or a checkpoint.

        `described` are `name`, `tags`, `note` and `priority`, where they are not to be its own.
        """
        record = retry(
            self._history,
            self.record,
            after=given.read_optional(given.read_whole, "after", after),
            changes=given.read_optional(given.read_mapping, "changes", changes),
            **given.read_described(**described),
        )
        return Run(self._history, record)

    def delete(self) -> None:
        """Remove it with all its history."""
        self._history.queue.delete(self.id)

    def _became(self, record: RunRecord) -> Run:
        self.record = record
        return self


def _settings_of(config: RunConfig) -> dict[str, Any]:
    """Return the configuration's settings, to be checked again: a copy of one may hold anything."""
    if not isinstance(config, RunConfig):
        raise InvalidValue("a tapeworks.RunConfig", "config", config)
    return {name: getattr(config, name) for name in config.model_fields_set}


def _frame(kind: type[Any], records: Iterable[Any]) -> DataFrame:
    """A row per record; its columns are there also when no row is."""
    import pandas  # takes longer to load than a listing may

    columns = [field.name for field in fields(kind)]
    frame = pandas.DataFrame([asdict(record) for record in records], columns=columns)
    # Without any accuracy its column is one of numbers all the same, of NaN.
    return frame.astype({name: float for name in columns if name == "accuracy"})
