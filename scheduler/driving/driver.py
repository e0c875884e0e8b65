"""A claimed run from claim to release: its status in SQL is true however the driving ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.datasets.source import Split
from tapeworks.scheduler.background import in_background
from tapeworks.scheduler.core.decisions import WORKER_QUARANTINED
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.driving.keeper import Control, Keeper, Lease
from tapeworks.scheduler.driving.retrying import Patience
from tapeworks.scheduler.errors import (
    OF_ALL_RUNS,
    OF_ONE_RUN,
    GivenBack,
    Interrupted,
    Requested,
    RunFailed,
    Unreleased,
    other_images,
)
from tapeworks.scheduler.evaluation import Evaluations
from tapeworks.scheduler.events import Listener, Notice, RunClaimed, RunLeft, ignore
from tapeworks.scheduler.submission import check_order
from tapeworks.scheduler.training import train
from tapeworks.storage.errors import LeaseLost
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import Claim, RunRecord, RunStatus
from tapeworks.wire.chunks import make_chunks

#: Why a run was left on which the user did not wait.
STOPPED = "stopped on request"


def _nothing() -> None:
    """Nothing else needs to be looked after."""


def images_digest(data: Split) -> str:
    """The digest of the training images."""
    return make_chunks(data.training.images, data.training.labels).digest


def _class_bytes(data: Split) -> bytes | None:
    """The class of each training image, a byte each; None where they have targets instead."""
    return data.training.labels.tobytes() if data.classes else None


def _row_bytes(data: Split) -> bytes | None:
    """The row of each training image; None where they are the data set's first ones."""
    if np.array_equal(data.rows, np.arange(len(data.rows))):
        return None
    return data.rows.astype("<i4").tobytes()


def check_images(run: RunRecord, received: str) -> None:
    """Raise `CannotContinueHere` unless these are the images that the run was started on."""
    if run.images_digest not in (None, received):
        raise other_images(run.id, str(run.images_digest), received)


def find_source(history: History, config: RunConfig) -> str | None:
    """The source text of a run's network, if it is a user's; nothing runs it here.

    Raises storage's `NetworkNotFound` and `NetworkDamaged`.
    """
    source_digest = config.spec.digest
    return None if source_digest is None else history.network_source(source_digest)


def defect(error: Exception) -> str:
    """The reason of a run that an unexpected error has paused."""
    words = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
    return f"An unexpected error, whose traceback the scheduler has logged: {words}"


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The means of driving runs; the same for one run or for many, one after the other."""

    history: History
    dispatcher: Dispatcher
    control: Control = field(default_factory=Control)
    stopped_status: RunStatus = RunStatus.QUEUED  #: of a run that is left before its end
    load: Callable[[RunConfig], Split] = datasets.load
    events: Listener = ignore
    check: Callable[[], None] = _nothing  #: called while waiting; may raise to leave the run
    owner: str = field(default_factory=current_owner)
    lease: Lease = field(default_factory=Lease)

    def patient(self, claim: Claim | None = None) -> History:
        """The history as an owner uses it: through outages of the database, until interrupted.

        With a claim, its run's history tells of them.
        """
        return self.history.patient(Patience(self.history, self.control, self.events, claim))

    def claim(self, run_id: str) -> Claim:
        """Take this run; raises storage's `StateConflict` if it is driven or has ended."""
        return self.patient().claim(run_id, self.owner, self.lease.seconds)

    def claim_next(self) -> Claim | None:
        """Take the oldest submission that nobody drives; None if there is none.

        One that the living workers can compute goes before those that they cannot.
        """
        there, refused = self.dispatcher.fingerprints(), self.dispatcher.refused_networks()
        return self.patient().claim_next(self.owner, self.lease.seconds, there, refused)

    def drive(self, claim: Claim) -> None:
        """Drive a run to its end, or until it is left.

        Raises `RunFailed` when the run ended as failed, an error that is `OF_ONE_RUN` when the run
        was paused with it as its reason, storage's `LeaseLost` when another scheduler has taken the
        run, and its `HistoryRolledBack` when the run was given up, to be taken again as the
        database has it. Any other error but one that is `OF_ALL_RUNS` has paused the run too.
        """
        history = self.patient(claim)
        self.events(RunClaimed(claim, self.lease.seconds))
        try:
            status, reason, done = self._iterate(history, claim)
            if status is RunStatus.COMPLETED:
                history.finish(claim, status, reason, after=done)
            else:
                self._leave(history, claim, status, reason)
        except (LeaseLost, Unreleased):
            raise
        except (Requested, GivenBack) as error:
            self._leave_early(history, claim, error)
        except BaseException as error:
            self._leave(history, claim, *self._end_of(error))
            raise
        finally:
            self.events(RunLeft(claim.run_id))
            self.dispatcher.end(claim.run_id, claim.term)

    def _iterate(self, history: History, claim: Claim) -> tuple[RunStatus, str | None, int]:
        """Return the run's status when it is left, the reason, and its completed iterations."""
        run = history.find_run(claim.run_id)
        check_order(run)
        config = restore_config(run.configuration)
        keeper = Keeper(self, history, claim)
        loading = in_background(lambda: self._load(config), lambda: keeper.tick(waiting=True))
        data, received = loading
        check_images(run, received)
        history.set_images(claim, received, _class_bytes(data), _row_bytes(data))
        mixed = config.allow_mixed_workers
        quarantined = history.workers_in_events(run.id, WORKER_QUARANTINED)
        pinned = run.fingerprint
        self.dispatcher.begin(
            run.id,
            config.spec,
            pinned,
            allow_mixed=mixed,
            quarantined=quarantined,
            source=find_source(history, config),
        )
        keeper.tick()
        evaluations = Evaluations(
            config=config,
            claim=claim,
            history=history,
            dispatcher=self.dispatcher,
            held_out=data.test,
            watcher=keeper,
        )
        done = run.completed_iterations
        if reason := evaluations.catch_up(done):
            return RunStatus.COMPLETED, reason, done
        for done in train(config, claim, history, self.dispatcher, data.training, keeper):
            if reason := evaluations.catch_up(done):
                return RunStatus.COMPLETED, reason, done
        if done < config.iterations:
            return self.stopped_status, STOPPED, done
        return RunStatus.COMPLETED, None, done

    def make_room(self, history: History, run: RunRecord) -> None:
        """Raise `GivenBack` if the living workers cannot compute the run, but a queued one."""
        there, refused = self.dispatcher.fingerprints(), self.dispatcher.refused_networks()
        mixed = restore_config(run.configuration).allow_mixed_workers
        if self.stopped_status is not RunStatus.QUEUED:
            return
        if run.network_digest in refused:
            nobody = f"no worker that is there may run the network {str(run.network_digest)[:12]}"
        elif run.fingerprint not in {None, *there} and not mixed:
            nobody = f"no worker of fingerprint {run.fingerprint} is there"
        else:
            return
        if there and history.has_queued(there, refused):
            raise GivenBack(
                f"given back to the queue: {nobody}, and others that are queued can be computed"
            )

    def _leave_early(self, history: History, claim: Claim, error: Requested | GivenBack) -> None:
        if isinstance(error, Requested):
            history.apply_request(claim)
        else:
            self._leave(history, claim, RunStatus.QUEUED, str(error))
        self.events(Notice("run_left", f"Run {claim.label}: {error}"))

    def _load(self, config: RunConfig) -> tuple[Split, str]:
        """The images and the digest of those to train on, which takes seconds for each gigabyte."""
        data = self.load(config)
        return data, images_digest(data)

    def _end_of(self, error: BaseException) -> tuple[RunStatus, str]:
        """Return the status of a run after this error, and the reason."""
        if isinstance(error, RunFailed):
            return RunStatus.FAILED, str(error)
        if isinstance(error, OF_ONE_RUN):
            return RunStatus.PAUSED, str(error)
        if isinstance(error, Interrupted | KeyboardInterrupt):
            return self.stopped_status, STOPPED
        if isinstance(error, Exception) and not isinstance(error, OF_ALL_RUNS):
            if self.control.abandoning:  # compiled code makes errors of its own of an interrupt
                return self.stopped_status, STOPPED
            return RunStatus.PAUSED, defect(error)
        return self.stopped_status, str(error) or type(error).__name__

    def _leave(self, history: History, claim: Claim, status: RunStatus, reason: str | None) -> None:
        leave = history.finish if status.is_finished else history.release
        try:
            leave(claim, status, reason)
        except Interrupted as error:
            raise Unreleased(claim.run_id, self.lease.seconds) from error
