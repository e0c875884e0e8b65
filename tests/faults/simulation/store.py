"""The contract of storage's claims and commits, in memory and by the simulated clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tapeworks.scheduler.dispatch.contract import Outcome
from tapeworks.scheduler.driving.keeper import Lease
from tapeworks.storage.commits import Commit, check_commits
from tapeworks.storage.errors import LeaseLost, StateConflict, StorageUnreachable
from tapeworks.storage.records import Claim, Request, RunStatus
from tests.faults.simulation.world import World

if TYPE_CHECKING:
    from tests.faults.simulation.witness import Witness


#: A lease that ends later than this was written by a clock that was wrong.
LEASE_SECONDS = Lease().seconds


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A line of the ledger: which answer is counted for a microbatch, and what it says."""

    microbatch: int
    shard: int
    value: int
    worker: str


def counted(outcomes: Iterable[Outcome]) -> list[Counted]:
    """Return a line for each microbatch of these shards."""
    return [
        Counted(
            microbatch=outcome.shard.first_microbatch + row,
            shard=outcome.shard.index,
            value=int(loss),
            worker=outcome.worker,
        )
        for outcome in outcomes
        for row, loss in enumerate(outcome.values["losses"].tolist())
    ]


def stored(commit: Commit) -> list[Counted]:
    """Return the same, as a commit has them; a microbatch is one image."""
    losses = np.frombuffer(commit.image_values.losses, "<f4")
    return [
        Counted(microbatch=image, shard=line.shard, value=int(losses[image]), worker=line.worker)
        for line in commit.ledger
        for image in range(line.first_image, line.first_image + line.image_count)
    ]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's row."""

    id: str
    microbatches: int
    iterations: int
    shards: int | None
    parameters: bytes
    status: RunStatus = RunStatus.QUEUED
    owner: str = ""
    term: int = 0
    lease_until: float = 0.0
    completed: int = 0
    fingerprint: str | None = None
    evaluated: int = 0  #: evaluations that are stored
    evaluates: bool = False
    diverges_at: int | None = None  #: from that iteration on nobody finds a number
    request: Request | None = None


class Store:
    """Rows that change by compare-and-set only."""

    def __init__(self, world: World, witness: Witness, silent: float) -> None:
        self.runs: dict[str, Run] = {}
        self.unfinished: set[str] = set()
        self.away = False
        self.silent = silent  #: probability that a commit's answer is lost
        self.dead: set[str] = set()  #: owners that are seen to be dead
        self._world, self._witness = world, witness

    def create_run(self, run: Run) -> None:
        """Submit a run."""
        self.runs[run.id] = run
        self.unfinished.add(run.id)

    def ask(self, run_id: str, request: Request) -> None:
        """A person wants this; at once if nobody drives the run, else its owner is asked."""
        run = self.runs[run_id]
        if run.status is RunStatus.RUNNING:
            self._write(run, request=request)
        elif not run.status.is_finished:
            self._stop(run, request)

    def resume(self, run_id: str) -> None:
        """A person wants the run to go on."""
        run = self.runs[run_id]
        if run.status is RunStatus.PAUSED:
            self._write(run, status=RunStatus.QUEUED)
        elif run.request is Request.PAUSE:
            self._write(run, request=None)

    def claim_next(self, owner: str, lease_seconds: float) -> Claim | None:
        """Take the oldest run that nobody drives."""
        self._reach()
        for left in filter(self._is_free, list(self.runs.values())):
            if left.request:
                self._stop(left, left.request)
        run = next(filter(self._is_free, self.runs.values()), None)
        if run is None:
            return None
        self._write(
            run,
            status=RunStatus.RUNNING,
            owner=owner,
            term=run.term + 1,
            lease_until=self._world.wall + lease_seconds,
        )
        claim = Claim(run_id=run.id, owner=owner, term=run.term + 1)
        self._witness.claimed(claim)
        return claim

    def renew(self, claim: Claim, lease_seconds: float) -> Run:
        """Lengthen the lease."""
        self._reach()
        return self._write(self._held(claim), lease_until=self._world.wall + lease_seconds)

    def commit(self, claim: Claim, commits: Sequence[Commit]) -> Run:
        """Advance the run by these iterations, or nothing; asked again, it is done already."""
        self._reach()
        check_commits(claim, commits)
        before, last = self.runs[claim.run_id], commits[-1]
        if not self._is_committed(before, claim, last):
            self._witness.tries(claim, commits)
            self._fence(claim)
            self._stands_at(before, commits[0].iteration.iteration)
            if self._world.happens(self.silent / 2):
                raise StorageUnreachable("the commit was lost")
            self._write(
                before,
                completed=last.iteration.iteration + 1,
                parameters=last.parameters,
                fingerprint=before.fingerprint or commits[0].fingerprint,
            )
            self._witness.commits(claim, before, commits, self.runs[claim.run_id])
            if self._world.happens(self.silent / 2):
                raise StorageUnreachable("the commit's answer was lost")
        return self.runs[claim.run_id]

    def evaluate(self, claim: Claim, ledger: list[Counted], waived: set[int], kind: str) -> None:
        """Store an evaluation of the newest parameters; once."""
        self._reach()
        before = self._held(claim)
        if before.evaluated < before.completed:
            self._write(before, evaluated=before.completed)
            self._witness.evaluates(claim, before, ledger, waived, kind)

    def leave(self, claim: Claim, status: RunStatus) -> None:
        """Give the run up in this status."""
        self._reach()
        self._write(self._held(claim), status=status, owner="", request=None)
        if status.is_finished:
            self.unfinished.discard(claim.run_id)

    def apply_request(self, claim: Claim) -> None:
        """Do what a person asked for, unless that was taken back."""
        run = self._held(claim)
        if run.request:
            self._stop(run, run.request)
        else:
            self.leave(claim, RunStatus.QUEUED)

    def _stop(self, run: Run, request: Request) -> None:
        self._write(run, status=request.status, owner="", request=None)
        if request.status.is_finished:
            self.unfinished.discard(run.id)

    def _reach(self) -> None:
        if self.away:
            raise StorageUnreachable("the database is away")

    def _is_free(self, run: Run) -> bool:
        now, longest = self._world.wall, self._world.wall + LEASE_SECONDS
        deserted = not now <= run.lease_until <= longest or run.owner in self.dead
        return run.status is RunStatus.QUEUED or (run.status is RunStatus.RUNNING and deserted)

    def _held(self, claim: Claim) -> Run:
        self._fence(claim)
        return self.runs[claim.run_id]

    def expect_no_later(self, claim: Claim) -> None:
        """Raise `LeaseLost` where a later claim exists: the run's story is another's to tell."""
        if (term := self.runs[claim.run_id].term) != claim.term:
            raise LeaseLost(f"{claim.run_id} is at term {term}")

    def _fence(self, claim: Claim) -> None:
        run = self.runs[claim.run_id]
        found = (run.status, run.owner, run.term)
        if found != (RunStatus.RUNNING, claim.owner, claim.term):
            raise LeaseLost(f"{run.id} is {run.status} at term {run.term}")

    def _stands_at(self, run: Run, iteration: int) -> None:
        if run.completed != iteration:
            raise StateConflict(f"{run.id} stands at {run.completed}, not at {iteration}")

    def _is_committed(self, run: Run, claim: Claim, last: Commit) -> bool:
        found = (run.term, run.completed, run.parameters)
        return found == (claim.term, last.iteration.iteration + 1, last.parameters)

    def _write(self, run: Run, **values: object) -> Run:
        self.runs[run.id] = replace(run, **values)  # type: ignore[arg-type]
        return self.runs[run.id]
