"""The client of a database: submits runs and finds them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never

from tapeworks.cli import given
from tapeworks.cli.choices import read_moment
from tapeworks.cli.given import Tags
from tapeworks.client.calls import with_known_arguments
from tapeworks.client.runs import Run
from tapeworks.client.training import Training, ensure_database
from tapeworks.cluster.watching.program_progress import choose_display
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.model.config import RunConfig
from tapeworks.model.given_settings import drop_varied
from tapeworks.scheduler.queueing import check_queued
from tapeworks.scheduler.submission import grid, new_runs, prepare_runs
from tapeworks.storage.actors import own_actor
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import NotCopied
from tapeworks.storage.history import History
from tapeworks.storage.queries.query_limits import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
)
from tapeworks.storage.queries.search import find_runs, query
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.references import validate_name

if TYPE_CHECKING:
    from pandas import DataFrame

#: A run's configuration, or its settings by name.
Config = RunConfig | Mapping[str, Any]


class Client:
    """Submits runs and finds them. Holds connections until `close`; also a context manager."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __reduce__(self) -> Never:
        raise NotCopied("client")

    def __repr__(self) -> str:
        return f"<Client of {self.database.address}>"

    @property
    def database(self) -> Database:
        """The database that this client works with."""
        return self._history.database

    @with_known_arguments
    def submit(
        self,
        config: Config,
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
        return self._queue(
            config,
            {},
            name=name,
            tags=tags,
            note=note,
            priority=priority,
            paused=paused,
            init_from=init_from,
        )[0]

    @with_known_arguments
    def submit_grid(
        self,
        config: Config,
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

        A name gets the runs' numbers: name-1, name-2, … What varies goes before what a `RunConfig`
        has; beside other settings it is refused. Raises like `submit`.
        """
        varied = given.read_mapping("vary", vary)
        if not varied:
            expected = "choices for a setting, such as {'seed': [1, 2]}; submit() queues one run"
            raise InvalidValue(expected, "vary", varied)
        return self._queue(
            config,
            varied,
            name=name,
            tags=tags,
            note=note,
            priority=priority,
            paused=paused,
            init_from=init_from,
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
        """Queue one run if nothing varies, else a grid."""
        given_tags = {} if tags is None else tags
        described = given.read_described(name=name, tags=given_tags, note=note, priority=priority)
        label = validate_name(described.pop("name"))
        status = RunStatus.PAUSED if given.read_truth("paused", paused) else RunStatus.QUEUED
        start = given.read_optional(given.read_path, "init_from", init_from)
        prepared = prepare_runs(grid(read_settings(config, varied), varied), start)
        check_queued(prepared)
        new = new_runs(prepared, name=label, is_grid=bool(varied), status=status, **described)
        ensure_database(self.database)
        return [self._run(record) for record in self._history.queue.submit(new)]

    @with_known_arguments
    def train(
        self,
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
        """Train on this machine, with a Redis and workers that last as long as the call.

        Computes what `tapeworks train` with the same arguments does, and raises the errors that it
        tells. Without `workers` there are as many as make it faster; 0 needs no queue. `resume`
        goes on with a paused run, by id or name. Ctrl-C stops after the iteration in progress, a
        second one at once; the run is paused, and `KeyboardInterrupt` goes on when nothing of what
        was started is left.
        """
        described = {"name": name, "tags": tags, "note": note}
        known: Any = {key: value for key, value in described.items() if value is not None}
        training = Training(
            history=self._history,
            database=self.database,
            workers=given.read_optional(given.read_whole, "workers", workers),
            pinned=given.read_truth("pin", pin),
            stop_after=given.read_optional(given.read_count, "stop_after", stop_after),
            display=choose_display(is_shown=given.read_truth("progress", progress)),
        )
        if resume is None:
            start = given.read_optional(given.read_path, "init_from", init_from)
            settings = read_settings({} if config is None else config)
            record = training.begin(settings, start, given.read_described(**known))
        elif config is not None or init_from is not None or known:
            raise UsageError("resume goes on with a run's own settings; leave out all others.")
        else:
            record = training.find(given.read_text("resume", resume))
        run = self._run(record)
        training.drive(run)
        return run.refresh()

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
        mine: bool = False,
        sort: str = "created_at",
        descending: bool = True,
        limit: int | None = None,
    ) -> list[Run]:
        """The runs that fulfil everything that is asked for, by default the newest first.

        `where` is a condition in SQL over the columns of the view `runs` (docs/queries.md);
        `status` is one or several; `tags` must all be there; `since` is a time or day, local unless
        it has a time zone, or so long ago; `mine` are those of this user, by name. Raises storage's
        `QueryError` for what is no such condition.
        """
        wanted: dict[str, Any] = {
            "where": given.read_optional(given.read_text, "where", where),
            "status": given.read_optional(given.read_statuses, "status", status) or (),
            "tags": given.read_optional(given.read_tags, "tags", tags),
            "since": given.read_optional(read_moment, "since", since),
            "submitter": own_actor().user if given.read_truth("mine", mine) else None,
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


def read_settings(config: Config, varied: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings that are given, to be checked: a copy of a configuration may hold any.

    What varies in a grid goes before what a `RunConfig` has, which has a value of each setting.
    """
    if isinstance(config, RunConfig):
        fields = {name: getattr(config, name) for name in config.model_fields_set}
        return drop_varied(fields, varied)
    if hasattr(config, "keys"):
        return given.read_mapping("config", config)
    expected = "a tapeworks.RunConfig, or settings by name such as {'iterations': 20}"
    raise InvalidValue(expected, "config", config)
