"""One run driven on this machine, with everything that it needs for that time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from tapeworks.cli.interrupts import raise_interrupt
from tapeworks.cli.outputs.printing import say
from tapeworks.cluster.embedded import start_cluster
from tapeworks.cluster.watching.progress import Progress
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import Split
from tapeworks.model.networks.own.allowed import allow
from tapeworks.places import Places, find_places
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.driving.driver import Driver, find_source
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted, Unreleased, other_bits
from tapeworks.scheduler.events import (
    EvaluationStored,
    Event,
    IterationCommitted,
    Listener,
    Notice,
)
from tapeworks.storage.errors import HistoryRolledBack, StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus, resume_words
from tapeworks.workers.stages import Stage
from tapeworks.workers.streams import write_to_stderr

#: What is said after the first Ctrl-C.
DRAINING = "Stopping after this iteration"

#: The same where there is nothing to be finished.
IDLE = "Stopping"

#: The reason of what was stopped while it was prepared.
NOT_BEGUN = "Interrupted before the first iteration."


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """The means by which a run is computed."""

    dispatcher: Dispatcher
    #: What the user should know of them, now and then; raises when there is no hope of an answer.
    check: Callable[[], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Onlooker:
    """The watcher of what writes nothing: no lease is to be kept, nothing finished first."""

    means: Means
    control: Control
    tell: Callable[[str], None]  #: shows the user a sentence
    stopped: str  #: what is said when the user stops it

    def tick(self, *, waiting: bool = False) -> None:  # noqa: ARG002
        """Raises `Interrupted` at the first Ctrl-C."""
        if news := self.means.check():
            self.tell(news)
        if self.control.draining:
            raise Interrupted(self.stopped)

    def events(self, event: Event) -> None:
        """Show notices; nothing is written into the run's history."""
        if isinstance(event, Notice):
            self.tell(event.message)


def tell_at_once(sentence: str) -> None:
    """Show a sentence from within a signal's handler."""
    write_to_stderr(f"\n{sentence}\n".encode())


@dataclass(frozen=True, kw_only=True)
class Session:
    """The session in which `tapeworks train` drives a run."""

    history: History
    places: Places
    control: Control
    workers: int  #: 0 computes in this process
    pinned: bool  #: has each worker on a core of its own, if there are as many
    tell: Callable[[str], None] = say  #: shows the user a sentence
    tell_at_once: Callable[[str], None] = tell_at_once  #: likewise, within a signal's handler
    make_progress: Callable[[int, int], Progress] = Progress  #: shows the user how far the run is

    def run(self, run: RunRecord, config: RunConfig, data: Split) -> RunRecord:
        """Drive the run to its end, or until the control stops it.

        Raises `Interrupted` when the user does not wait for the iteration in progress.
        """
        try:
            redis_url, control = self.places.named_redis_url, self.control
            driving = threading.Event()
            with (
                interruptible(control, DRAINING, self.tell_at_once, is_busy=driving.is_set),
                means_for(
                    run,
                    config,
                    find_source(self.history, config),
                    self.workers,
                    redis_url,
                    control,
                    pinned=self.pinned,
                    tell=self.tell,
                ) as means,
            ):
                if control.draining:
                    raise Interrupted(NOT_BEGUN)
                driving.set()
                return self._drive(run, config, data, means)
        except Unreleased as error:
            raise Interrupted(f"{error} Go on with: {resume_words(run.id)}") from error
        except Interrupted as error:
            run = self.history.find_run(run.id)
            raise Interrupted(
                f"Stopped at once; {run.completed_iterations} iterations of run {run.id} are kept. "
                f"Go on with: {resume_words(run.id)}"
            ) from error

    def _drive(self, run: RunRecord, config: RunConfig, data: Split, means: Means) -> RunRecord:
        def check() -> None:
            if news := means.check():
                progress.notice(news)

        with self.make_progress(config.iterations, run.completed_iterations) as progress:
            driver = Driver(
                history=self.history,
                dispatcher=means.dispatcher,
                control=self.control,
                stopped_status=RunStatus.PAUSED,
                load=lambda _: data,
                events=_listener(progress),
                check=check,
            )
            _drive(driver, run.id)
            return driver.patient().find_run(run.id)


def _listener(progress: Progress) -> Listener:
    """Return a listener that shows a run's progress, which knows no scheduler itself."""

    def listen(event: Event) -> None:
        match event:
            case IterationCommitted():
                progress.show(event.record)
            case EvaluationStored():
                progress.show_evaluation(event.record)
            case Notice():
                progress.notice(event.message)

    return listen


def _drive(driver: Driver, run_id: str) -> None:
    """Drive the run, again from what is stored if the database has forgotten some of it."""
    while True:
        try:
            driver.drive(driver.claim(run_id))
            return
        except HistoryRolledBack as error:
            driver.events(Notice("rolled_back", str(error)))
        except StateConflict:  # somebody cancelled it while it was prepared
            if not driver.patient().find_run(run_id).status.is_finished:
                raise
            return


@contextmanager
def means_for(
    run: RunRecord,
    config: RunConfig,
    source: str | None,
    workers: int,
    redis_url: str | None,
    control: Control,
    *,
    pinned: bool = False,
    tell: Callable[[str], None] = say,
) -> Iterator[Means]:
    """This process, or so many workers behind this Redis, or behind a private one.

    They may run the `source` of the run's network, if it is a user's, and no other.
    """
    if workers == 0:
        if source is not None:
            allow(source)
        from tapeworks.scheduler.dispatch.local import LocalDispatcher

        local = LocalDispatcher()
        with _preparing(control):
            tell(Stage.LOADING.sentence)
            local.load()
            tell(Stage.COMPILING.sentence)
            local.prepare(config.spec)
        yield Means(dispatcher=local, check=lambda: None)
        return
    signer = find_places().signer()
    with start_cluster(
        redis_url, workers, config.spec, source, control, tell, signer, pinned=pinned
    ) as cluster:
        from tapeworks.scheduler.dispatch.celery import CeleryDispatcher

        expected, received = run.fingerprint, cluster.fingerprints
        if expected and expected not in received and not config.allow_mixed_workers:
            raise other_bits(run.id, expected, ", ".join(received))
        dispatcher = CeleryDispatcher(cluster.url, signer, trusts_one=redis_url is None)
        yield Means(dispatcher=dispatcher, check=cluster.check)


@contextmanager
def _preparing(control: Control) -> Iterator[None]:
    """Raise `Interrupted` at every Ctrl-C: nothing has begun that would have to be finished.

    Loading a library takes many seconds, and looks at no control meanwhile. Compiled code may turn
    the interrupt into an error of its own, or lose it.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        for number, handler in before.items():
            signal.signal(number, _raising(control, handler))
        yield
    except (KeyboardInterrupt, Exception):
        if not control.draining:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if control.draining:
        raise Interrupted(NOT_BEGUN)


def _raising(control: Control, outer: Any) -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises once the outer one has the control drain."""

    def handle(number: int, frame: FrameType | None) -> None:
        if callable(outer) and not control.draining:
            outer(number, frame)
        if control.draining:
            raise_interrupt(number, frame)

    return handle


@contextmanager
def interruptible(
    control: Control,
    draining: str,
    tell: Callable[[str], None] = tell_at_once,
    *,
    is_busy: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to the control: once to drain, twice to stop at once.

    The first time the user is told `draining`, unless nothing has to be finished; a third one
    interrupts whatever is running. A terminal that is closed drains as well, however often it says
    so, unless the caller ignores that, as nohup does.
    """

    def handle(number: int, _: FrameType | None) -> None:
        if control.draining:
            outer = previous[signal.SIGINT]
            signal.signal(number, outer if callable(outer) else signal.default_int_handler)
        else:
            tell(f"{draining}; once more to stop at once" if is_busy() else IDLE)
        control.interrupt()

    def hang_up(_: int, __: FrameType | None) -> None:
        control.drain()

    handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
        signal.SIGINT: handle,
        signal.SIGTERM: handle,
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    previous = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
