"""Training on this machine, for a program: as `tapeworks train`, in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapeworks.client.waiting import LOOK_SECONDS, Follower, follow
from tapeworks.cluster.apart import Apart, work_apart
from tapeworks.cluster.preparation import check_redis, choose_workers, find_resumable
from tapeworks.cluster.session import DRAINING
from tapeworks.cluster.watching.program_progress import Display
from tapeworks.model.config import RunConfig, run_config
from tapeworks.places import find_places
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.footprint import describe_footprint
from tapeworks.scheduler.submission import prepare_runs, submit
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.records import STARTING, RunRecord, RunStatus, iteration_count
from tapeworks.wire.errors import WorkerExited

if TYPE_CHECKING:
    from tapeworks.client.runs import Run


logger = logging.getLogger(__name__)


def ensure_database(database: Database) -> None:
    """Make a new SQLite database where there is none, and log that."""
    if database.ensure_schema():
        logger.warning("Made a new database: %s", database.address)


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The way in which runs are trained on this machine."""

    history: History
    database: Database  #: in which the history is
    workers: int | None  #: processes; 0 computes without a queue, None leaves the choice open
    pinned: bool  #: has each worker on a core of its own, if there are as many
    stop_after: int | None  #: iterations, after which a run is paused
    display: Display

    def begin(
        self, settings: Mapping[str, Any], init_from: Path | None, described: Mapping[str, Any]
    ) -> RunRecord:
        """Store a new run, which can be driven here. Raises like `prepare_runs`."""
        [prepared] = prepare_runs([run_config(dict(settings))], init_from)
        self._choose_workers(prepared.config, 0)
        if large := describe_footprint([prepared.config]):
            self.display.tell(large)
        ensure_database(self.database)
        self.database.check_writable()
        waiting: dict[str, Any] = {"status": RunStatus.PAUSED, "reason": STARTING}
        return submit(self.history, prepared, **waiting, **described)

    def find(self, reference: str) -> RunRecord:
        """Return a run that may go on. Raises `UsageError` for any other."""
        return find_resumable(self.history, reference, self.stop_after)

    def drive(self, run: Run) -> None:
        """Drive the run until it ends or is paused.

        Raises the error that the command would tell. The first `KeyboardInterrupt` lets it finish
        the iteration in progress, the second one stops it at once; it goes on to the caller when
        all that was started has ended.
        """
        count, told = self._choose_workers(run.config, run.record.completed_iterations)
        if told:
            self.display.tell(told)
        asked = {
            "database_url": self.database.secret_url,
            "run": run.id,
            "workers": count,
            "pinned": self.pinned,
            "stop_after": self.stop_after,
        }
        was_interrupted = True
        with (
            suppress(KeyboardInterrupt),
            work_apart("train", asked) as process,
            follow(self.history, run, self.display) as follower,
        ):
            was_interrupted = _finish(process, follower)
        if was_interrupted:
            done = (
                f"{run.refresh().status} after {iteration_count(run.record.completed_iterations)}"
            )
            raise KeyboardInterrupt(
                f"Run {run.id} is {done}; go on with tapeworks.train(resume={run.id!r})."
            )

    def _choose_workers(self, config: RunConfig, completed: int) -> tuple[int, str | None]:
        """Return their number, and a sentence about it; raise if their Redis cannot be used."""
        count, told = choose_workers(config, self.workers, self.stop_after, completed)
        check_redis(find_places(), count)
        return count, told


def _finish(process: Apart, follower: Follower) -> bool:
    """Wait for the end of the process; return whether the user interrupted it."""
    was_interrupted = False
    while True:
        try:
            while "result" not in (message := process.poll(LOOK_SECONDS) or {}):
                if "told" in message:
                    follower.tell(message["told"])
                follower.look()
            follower.look()
            return was_interrupted
        except KeyboardInterrupt:
            follower.tell(
                "Stopping at once" if was_interrupted else f"{DRAINING}; once more to stop at once"
            )
            was_interrupted = True
            process.interrupt()
        except (Interrupted, WorkerExited):
            if not was_interrupted:
                raise
            return True
