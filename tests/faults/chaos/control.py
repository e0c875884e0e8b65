"""The control: the same nemesis against the usual Celery way, to see what that loses.

An app with default settings and late acknowledgement, Redis as broker and result backend, a group
and `.get()` for every iteration. Processes that die are started again, as in the drill; when the
loop hangs or ends by itself, an operator starts it again from its checkpoint, and is counted.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.processes import environment
from tapeworks.model.parameters import digest, from_bytes, to_bytes
from tests.faults.chaos.commands import IMAGES, undisturbed
from tests.faults.chaos.control_app import IMAGES_VARIABLE, LOG_VARIABLE, REDIS_VARIABLE
from tests.faults.chaos.control_driver import LOSSES
from tests.faults.chaos.drill import ITERATIONS_PER_FAULT, LAST_ITERATIONS
from tests.faults.chaos.faults import possibilities, schedule
from tests.faults.chaos.history import History, Result
from tests.faults.chaos.journal import Entry, Journal, of
from tests.faults.chaos.nemesis import Nemesis
from tests.faults.chaos.network import LOOPBACK
from tests.faults.chaos.report import yes
from tests.faults.chaos.services import Service, lives
from tests.faults.chaos.world import PROXIED_GROUP, Shape, World

#: Who is struck: there is no scheduler that stands by, no database and no liar.
VICTIMS = {"worker", "link", "proxy", "redis"}

#: Seconds without an iteration after which no further fault strikes, to see whether it goes on.
PATIENCE_SECONDS = 15.0

#: Seconds without an iteration, the last of them without any fault, that count as hung.
HUNG_SECONDS = 90.0

#: Interventions after which nobody would go on.
MOST_INTERVENTIONS = 5

#: Seconds between two looks.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The findings of one seed."""

    seed: int
    iterations: int
    committed: int
    entries: Sequence[Entry]
    computed_again: int  #: shards of an iteration beyond once each
    first_difference: int | None
    seconds: float
    crashes: Counter[str] = field(default_factory=Counter)  #: by the last line said


@dataclass
class ControlWorld(World):
    """Celery workers instead of ours, and a loop instead of schedulers."""

    @property
    def services(self) -> list[Service]:
        return self.workers

    @property
    def places(self) -> int:
        return self.shape.groups

    def worker_processes(self) -> list[tuple[Service, psutil.Process]]:
        pairs = [(one, psutil.Process(one.pid)) for one in self.workers if one.pid is not None]
        found = [pair for pair in pairs if lives(pair[1])]
        return sorted(found, key=lambda pair: pair[1].create_time())

    def drive(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the loop."""
        command = [sys.executable, "-m", "tests.faults.chaos.control_driver", *arguments]
        with (self.directory / "driver.log").open("wb") as log:
            return subprocess.Popen(
                [*self.network.at_hub(), *command],
                env=environment(**self._variables(self.redis.url(LOOPBACK))),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def last_words(self) -> str:
        """Return what the loop said at last."""
        lines = (self.directory / "driver.log").read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "nothing")[:160]

    def _start_services(self) -> None:
        self.workers = [self._celery(group) for group in range(1, self.shape.groups + 1)]
        for service in self.workers:
            self._stack.callback(service.close)
            service.start()

    def _celery(self, group: int) -> Service:
        command = [sys.executable, "-m", "celery", "-A", "tests.faults.chaos.control_app", "worker"]
        command += ["--pool", "solo", "--loglevel", "WARNING", "-n", f"worker-{group}"]
        port = self.proxy_port if group == PROXIED_GROUP else None
        url = self.redis.url(self.network.hub_address(group), port)
        prefix = self.network.at_group(group)
        return self._service(f"worker-{group}", [*prefix, *command], **self._variables(url))

    def _variables(self, url: str) -> dict[str, str]:
        computed = str(self.directory / "computed")
        return {REDIS_VARIABLE: url, LOG_VARIABLE: computed, IMAGES_VARIABLE: str(IMAGES)}


def control(seed: int, faults: int, directory: Path) -> Control:
    """One seed of the usual way, until its faults have struck and it is through, or given up."""
    directory.mkdir(parents=True)
    journal, iterations = Journal(directory / "journal.jsonl"), faults * ITERATIONS_PER_FAULT
    try:
        database, run_id = undisturbed(seed, iterations, directory)
        with ControlWorld(Shape(database="sqlite"), directory, journal) as world:
            loop = _Loop(world, seed, iterations)
            try:
                loop.run(faults)
            finally:
                loop.end()
        return loop.seen(History(database).results(run_id))
    finally:
        journal.close()


class _Loop:
    """The driver process, and the operator beside it."""

    def __init__(self, world: ControlWorld, seed: int, iterations: int) -> None:
        self._world, self._seed, self._iterations = world, seed, iterations
        self._checkpoint = world.directory / "checkpoint.safetensors"
        possible = [
            one
            for one in possibilities("sqlite", bool(world.network.links))
            if one.victim in VICTIMS
        ]
        faults = schedule(seed, possible)
        self._nemesis = Nemesis(world, faults, History(world.database.url))
        self._process: subprocess.Popen[bytes] | None = None
        self._crashes: Counter[str] = Counter()
        self._began = time.monotonic()
        self._last, self._moved_at = 0, time.monotonic()

    def run(self, faults: int) -> None:
        """Until it is through, or nobody would start it once more."""
        self._start()
        while self._committed() < 1 and self._goes_on():
            self._nemesis.tend(LOOK_SECONDS)
        while self._committed() < self._iterations and self._goes_on():
            near_end = self._last >= self._iterations - LAST_ITERATIONS
            patient = time.monotonic() - self._moved_at > PATIENCE_SECONDS
            if self._nemesis.faults < faults and not near_end and not patient:
                self._nemesis.strike_next("")
            else:
                self._nemesis.tend(LOOK_SECONDS)

    def end(self) -> None:
        """End the loop's process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def seen(self, expected: Sequence[Result]) -> Control:
        """The outcome."""
        lines = (self._world.directory / "computed").read_text().splitlines()
        return Control(
            seed=self._seed,
            iterations=self._iterations,
            committed=self._committed(),
            entries=list(self._world.journal.entries),
            computed_again=len(lines) - len(set(lines)),
            first_difference=self._difference(expected),
            seconds=time.monotonic() - self._began,
            crashes=self._crashes,
        )

    def _goes_on(self) -> bool:
        """Look after the loop; false when it was started again too often."""
        now = time.monotonic()
        if self._committed() != self._last:
            self._last, self._moved_at = self._committed(), now
        if self._process is not None and self._process.poll() is not None:
            if self._last == self._iterations:
                return True
            self._crashes[self._world.last_words()] += 1
            self._intervene("crashed")
        elif now - self._moved_at > HUNG_SECONDS:
            self._intervene("hung")
        return len(of(self._world.journal.entries, "intervention")) < MOST_INTERVENTIONS

    def _intervene(self, why: str) -> None:
        self._world.journal.write("intervention", why=why, iteration=self._last)
        self._nemesis.heal_all()
        self.end()
        self._start()

    def _start(self) -> None:
        arguments = [str(self._checkpoint), str(self._iterations), str(self._seed)]
        self._process, self._moved_at = self._world.drive(arguments), time.monotonic()

    def _losses(self) -> list[float]:
        if not self._checkpoint.exists():
            return []
        losses: list[float] = from_bytes(self._checkpoint.read_bytes())[LOSSES].tolist()
        return losses

    def _committed(self) -> int:
        return len(self._losses())

    def _difference(self, expected: Sequence[Result]) -> int | None:
        """The first iteration with another loss; the last one's parameters are compared too."""
        losses = self._losses()
        if not losses:
            return None
        arrays = dict(from_bytes(self._checkpoint.read_bytes()))
        del arrays[LOSSES]
        done = [(result.iteration, result.loss) for result in expected[: len(losses)]]
        for (iteration, loss), received in zip(done, losses, strict=True):
            if loss != received:
                return iteration
        same = expected[len(losses) - 1].parameters_digest == digest(to_bytes(arrays))
        return None if same else len(losses) - 1


def control_lines(done: Control) -> Iterator[str]:
    """Return what people read of it, and the line for programs."""
    whys = Counter(entry["why"] for entry in of(done.entries, "intervention"))
    faults = len(of(done.entries, "fault"))
    yield f"control, seed {done.seed}: a group and .get(), late acknowledgement, default settings"
    yield (
        f"  {done.committed} of {done.iterations} iterations under {faults} faults "
        f"in {done.seconds:.0f} s; started again by hand {whys.total()} times"
    )
    for words, times in done.crashes.items():
        yield f"  ended by itself {times} times with: {words}"
    yield (
        f"control: seed={done.seed} faults={faults} hung={whys['hung']} crashed={whys['crashed']} "
        f"completed={yes(done.committed == done.iterations)} "
        f"shards_computed_again={done.computed_again} "
        f"digests_equal={yes(done.first_difference is None)}"
    )
    yield ""
