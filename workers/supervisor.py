"""N worker processes on one machine: started, restarted when they die, and ended together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO

from tapeworks.model.hash_order import VALUE, VARIABLE
from tapeworks.model.settings import Settings
from tapeworks.wire.addresses import REDIS
from tapeworks.wire.addresses import redis_url as named_redis
from tapeworks.wire.errors import PasswordUnusable, WorkerExited
from tapeworks.wire.messages import WorkerRecord
from tapeworks.workers.cores import cores_for, pin
from tapeworks.workers.foreign import without_foreign
from tapeworks.workers.stages import Stage, read_stage

logger = logging.getLogger(__name__)

#: Seconds between two looks at the processes.
LOOK_SECONDS = 0.2
STOP_LOOK_SECONDS = 0.02

#: The longest delay in seconds before a worker that did not get ready is started again.
LONGEST_DELAY_SECONDS = 30.0

#: After so many early deaths in a row, with no worker up, starting them is pointless.
EARLY_DEATHS = 5

#: The exit code of a worker that leaves in order, since it has compiled all that it may hold.
WORN = 5

#: What a worker has done that ended with these exit codes, of its own accord or asked to.
ORDERLY = {0: "left", WORN: "left, having compiled as many networks as it may hold"}

#: Seconds that a worker has to finish its shard when it is asked to leave.
DRAIN_SECONDS = 10.0


@dataclass(slots=True)
class _Slot:
    core: int | None  #: on which every process of this place is kept
    process: subprocess.Popen[bytes] | None = None
    readiness: IO[bytes] | None = None  #: where its worker writes its stages, until it is ready
    stage: Stage = Stage.STARTING
    not_before: float = 0.0
    early_deaths: int = 0  #: in a row, before the worker was ready


def _address(url: str) -> dict[str, str]:
    """The variables that name this Redis to a worker, never on the command line.

    A password that stands in a file stays there: the worker reads it itself.
    """
    with suppress(PasswordUnusable):
        if named_redis(Settings(os.environ)) == url:
            return {}
    return {REDIS.url_variable: url, REDIS.file_variable: ""}


class Supervisor:
    """Keeps `count` worker processes alive from `start` to `stop`."""

    def __init__(
        self,
        redis_url: str,
        count: int,
        log: IO[bytes] | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        *,
        pinned: bool = False,
    ) -> None:
        """Workers write what they have to say to `log`, or to this process's stderr.

        They have the environment of this process but for other programs' variables, and this one.
        If they are pinned and exactly as many as the cores, each has a core of its own: two busy
        processes may share one for seconds otherwise.
        """
        self._environment = {
            **without_foreign(os.environ),
            **environment,
            **_address(redis_url),
            VARIABLE: VALUE,
            Settings.supervisor_pid.variable: str(os.getpid()),
        }
        cores = cores_for(count) if pinned else [None] * count
        self._slots = [_Slot(core) for core in cores]
        self.starts = 0  #: of processes
        self.early_deaths = 0  #: of processes that never were ready
        self._log = log
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the processes and the thread that watches them."""
        self._look()
        self._thread.start()

    @property
    def places(self) -> list[int | None]:
        """The process of each place, None where it has ended and is not started again yet."""
        return [process.pid if (process := slot.process) else None for slot in self._slots]

    @property
    def stage(self) -> Stage:
        """That of the process which is least far with its start."""
        return min((slot.stage for slot in self._slots), default=Stage.READY)

    @property
    def process_ids(self) -> set[int]:
        """The processes that run now."""
        return {process.pid for slot in self._slots if (process := slot.process)}

    def ready(self, workers: Iterable[WorkerRecord]) -> list[WorkerRecord]:
        """Those of these workers that run here and take shards."""
        return [one for one in self.of_here(workers).values() if one.fingerprint]

    def of_here(self, workers: Iterable[WorkerRecord]) -> dict[int, WorkerRecord]:
        """Those of these workers that run here, by their process."""
        here, own = socket.gethostname(), self.process_ids
        return {one.pid: one for one in workers if one.host == here and one.pid in own}

    def check(self) -> None:
        """Raise `WorkerExited` when the processes die again and again before they are ready."""
        if self._slots and all(slot.early_deaths >= EARLY_DEATHS for slot in self._slots):
            raise WorkerExited(
                f"Worker processes ended {EARLY_DEATHS} times in a row before they were ready; "
                "run `python -P -m tapeworks.workers` to see why."
            )

    def stop(
        self, drain_seconds: float = DRAIN_SECONDS, hurried: Callable[[], bool] = lambda: False
    ) -> None:
        """Let the workers finish the shard in hand, then end them; none is left afterwards.

        Without time to drain, or once `hurried` says so, they are killed, which loses nothing but
        the work in hand.
        """
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join()
        processes = [slot.process for slot in self._slots if slot.process]
        for process in processes:
            process.send_signal(signal.SIGTERM if drain_seconds else signal.SIGKILL)
        deadline = time.monotonic() + drain_seconds
        while any(process.poll() is None for process in processes):
            if hurried() or time.monotonic() > deadline:
                for process in processes:
                    process.kill()
            time.sleep(STOP_LOOK_SECONDS)
        for slot in self._slots:
            if slot.readiness:
                slot.readiness.close()

    def _watch(self) -> None:
        while not self._leaving.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            ended = slot.process if slot.process and slot.process.poll() is not None else None
            if slot.readiness:
                _read(slot, slot.readiness)
            if ended:
                self.early_deaths += slot.readiness is not None
                _report_end(ended)
                _bury(slot, now)
            if slot.process is None and now >= slot.not_before:
                self._try_to_spawn(slot, now)

    def _try_to_spawn(self, slot: _Slot, now: float) -> None:
        """A machine out of memory or processes may have some again later."""
        try:
            self._spawn(slot)
        except OSError as error:
            event = {"event": "process_not_started"}
            logger.warning(
                "A worker process cannot be started: %s. Trying again.", error, extra=event
            )
            self.early_deaths += 1
            _bury(slot, now)

    def _spawn(self, slot: _Slot) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        slot.readiness = os.fdopen(reading, "rb", buffering=0)
        try:
            # A session of their own: Ctrl-C in the terminal reaches this process alone, which
            # drains them. -P: not what lies in the user's directory.
            slot.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tapeworks.workers"],
                env=self._environment | {Settings.readiness_descriptor.variable: str(writing)},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[writing],
                start_new_session=True,
            )
            self.starts += 1
            if slot.core is not None:
                pin(slot.process.pid, slot.core)
        finally:
            os.close(writing)


def _read(slot: _Slot, readiness: IO[bytes]) -> None:
    """See how far the slot's worker is with its start."""
    slot.stage = read_stage(readiness, slot.stage)
    if slot.stage is Stage.READY:
        slot.early_deaths = 0
        readiness.close()
        slot.readiness = None


def _report_end(process: subprocess.Popen[bytes]) -> None:
    """Log how a worker process ended, which one that is killed cannot say itself."""
    worker, code = f"{socket.gethostname()}-{process.pid}", process.returncode
    extra = {"event": "process_ended", "worker": worker}
    level = logging.INFO if code in ORDERLY else logging.WARNING
    logger.log(level, "Worker %s %s; starting another", worker, _describe_end(code), extra=extra)


def _describe_end(code: int) -> str:
    """Words for an exit code; a negative one is a signal, as `subprocess` has it."""
    if code < 0:
        hint = ", which the system sends when memory runs out" if code == -signal.SIGKILL else ""
        return f"was ended by {_signal_name(-code)}{hint}"
    return ORDERLY.get(code) or f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def _bury(slot: _Slot, now: float) -> None:
    """Have a worker that has ended restarted: at once, unless it never was ready."""
    delay = 0.0
    if slot.readiness:
        slot.readiness.close()
        slot.early_deaths += 1
        delay = min(2.0 ** (slot.early_deaths - 1), LONGEST_DELAY_SECONDS)
    slot.process, slot.readiness, slot.not_before = None, None, now + delay
    slot.stage = Stage.STARTING
