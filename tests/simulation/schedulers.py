"""Schedulers: the real gathering and link, driven as `service` and `driving` drive them."""

from __future__ import annotations

from contextlib import suppress

from scheduler.celery_dispatcher import RETRY_SECONDS
from scheduler.control import Lease
from scheduler.errors import Diverged, Requested, SchedulerError, Undecided
from scheduler.gathering import Gathering
from scheduler.link import Link
from scheduler.service import IDLE_SECONDS
from storage.errors import LeaseLost, StorageUnreachable
from storage.records import Claim, Request, RunStatus
from tests.simulation.problem import NETWORK, assigned, work
from tests.simulation.store import Counted, Store
from tests.simulation.witness import Witness
from tests.simulation.world import World
from workers.errors import RedisUnreachable
from workers.messages import Wanted
from workers.signing import Signer

#: What `tapeworks scheduler` claims with.
LEASE = Lease()

#: A turn of the loop takes so many seconds.
TURN_SECONDS = 0.001

#: Seconds before a scheduler that lost its database is started again.
RESTART_SECONDS = 1.0


class Driven:
    """A claimed run in one scheduler's memory, from claim to release."""

    def __init__(
        self,
        world: World,
        store: Store,
        witness: Witness,
        link: Link,
        claim: Claim,
        audit: float,
        diverged: set[str],
    ) -> None:
        run = store.runs[claim.run_id]
        self.claim, self.iteration, self.parameters = claim, run.completed, run.parameters
        self.run, self.waived = run, set[int]()
        self._world, self._store, self._witness = world, store, witness
        self._link, self._audit, self._diverged = link, audit, diverged
        self._renewed_at = self._began_at = world.now
        self.gathering: Gathering | None = None
        self.started_over = False  #: since the witness looked
        self.strangers = frozenset[str]()  #: as of the latest look, for the witness
        self.looked_at, self.stuck_since = 0, dict[int, float]()  # for the witness
        self.forgets_tick = False  # it was frozen just behind it
        self.sleeps = False  #: until it tries Redis again

    @property
    def seconds_in_iteration(self) -> float:
        """Since it was begun."""
        return self._world.now - self._began_at

    def step(self) -> float | None:
        """Do what needs no waiting; return the seconds before the next step, None at the end."""
        if self.gathering and self.gathering.finished:
            return self._store_it(self.gathering)
        if self.iteration == self.run.iterations and not self._is_to_be_evaluated:
            self._store.leave(self.claim, RunStatus.COMPLETED)
            return None
        return self._compute()

    def tick(self, *, waiting: bool = False) -> None:
        """Keep the lease, and do what a person wants if it need not wait for the iteration."""
        if self._world.now - self._renewed_at > LEASE.renew_seconds and not self.forgets_tick:
            run = self._store.renew(self.claim, LEASE.seconds)
            self._renewed_at = self._world.now
            if run.request is Request.CANCEL or (waiting and run.request):
                raise Requested(run.request)
        self.forgets_tick = False

    def notice(self, kind: str, message: str) -> None:
        """An event of the run's history."""
        self._world.tell(self.claim.owner, message)
        self._witness.told(self, kind, message)

    @property
    def is_waiting(self) -> bool:
        """True while nothing can go on until Redis or a worker comes back."""
        stands_still = self.gathering is not None and self.gathering.is_waiting
        return self._link.is_waiting or stands_still

    @property
    def _is_to_be_evaluated(self) -> bool:
        run = self._store.runs[self.claim.run_id]
        return run.evaluates and run.evaluated < self.iteration

    def _begin(self) -> Gathering:
        wanted = Wanted.NOTHING if self._is_to_be_evaluated else Wanted.SUMMED
        asked = work(self.claim, self.iteration, self.parameters, self.run, self._audit, wanted)
        if wanted is Wanted.SUMMED and self.iteration == self.run.diverges_at:
            self._diverged.add(asked.parameters_digest)
        self._began_at = self._world.now
        self._witness.begins(self)
        return Gathering(self._link, asked, self)

    def _compute(self) -> float:
        self.tick(waiting=self.is_waiting)
        self.sleeps = False
        try:
            self._link.join()
            self.gathering = self.gathering or self._begin()
            self.gathering.turn()
            self._link.succeeded(self)
        except RedisUnreachable as error:
            self._link.failed(self, str(error))
            if self.gathering:
                self.gathering.start_over()
            self.sleeps = True
            return RETRY_SECONDS
        return self._link.exchange.waits_seconds  # type: ignore[attr-defined, no-any-return]

    def _store_it(self, gathering: Gathering) -> float:
        result = gathering.result()
        ledger = [
            Counted(
                microbatch=outcome.shard.first_microbatch + row,
                shard=outcome.shard.index,
                value=int(loss),
                worker=outcome.worker,
            )
            for outcome in result.outcomes
            for row, loss in enumerate(outcome.losses.tolist())
        ]
        kind = self._link.standing.fingerprint
        self._witness.counts(self, ledger, result.sums, self._link.standing.aside)
        if self._is_to_be_evaluated:
            self._store.evaluate(self.claim, ledger, self.waived, str(kind))
        else:
            self._commit(ledger, kind)
        self.gathering, self.waived = None, set()
        return 0.0

    def _commit(self, ledger: list[Counted], kind: str | None) -> None:
        parameters = assigned(self.parameters, [line.value for line in ledger])
        counted = ledger, self.waived, kind
        run = self._store.commit(self.claim, self.iteration, parameters, *counted)
        self._world.tell(self.claim.owner, f"commits iteration {self.iteration}")
        self.iteration, self.parameters = self.iteration + 1, parameters
        if run.request is Request.CANCEL or (run.request and run.completed < run.iterations):
            self.gathering, self.waived = None, set()
            raise Requested(run.request)


class Scheduler:
    """One place for a scheduler process."""

    def __init__(
        self,
        world: World,
        store: Store,
        witness: Witness,
        place: int,
        audit: float,
        signer: Signer,
        diverged: set[str],
    ) -> None:
        self.driven: Driven | None = None
        self._world, self._store, self._witness = world, store, witness
        self._place, self._audit, self._signer = place, audit, signer
        self._diverged = diverged
        self._incarnation, self._alarm = 0, 0
        self._alive = self._frozen = False
        self._freezes_before_commit: float | None = None
        self.start()

    @property
    def owner(self) -> str:
        """New with every start."""
        return f"scheduler-{self._place}.{self._incarnation}"

    def start(self) -> None:
        """A new process, unless it lives."""
        if not self._alive:
            self._incarnation += 1
            self._alive, self._frozen, self.driven = True, False, None
            self._link = Link(self.owner, self._signer)
            self._wake_after(0.0)

    def crash(self, *, seen: bool) -> None:
        """SIGKILL; others may see that it is dead, or must wait for its lease to end."""
        if self._alive:
            self._world.tell(self.owner, "crashes")
            self._alive = False
            if seen:
                self._store.dead.add(self.owner)
            self._world.after(self._world.chance.uniform(0.5, 15), self.start)

    def freeze(self, seconds: float, *, before_commit: bool) -> None:
        """SIGSTOP: now, or when it is about to commit.

        Now may be between looking after its lease and what it does with it.
        """
        if before_commit and not self._is_about_to_commit:
            self._freezes_before_commit = seconds
        elif self._alive and not self._frozen:
            self._world.tell(self.owner, f"freezes for {seconds:.1f} seconds")
            self._frozen = True
            if self.driven:
                self.driven.forgets_tick = self._world.happens(0.5)
            self._world.after(seconds, self.thaw)

    @property
    def _is_about_to_commit(self) -> bool:
        gathering = self.driven.gathering if self.driven else None
        return gathering is not None and gathering.finished

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had happened."""
        if self._frozen:
            self._frozen = False
            self._wake_after(0.0)

    def arrival(self, run_id: str) -> None:
        """An answer came, which may be what it waits for."""
        driven = self.driven
        if driven and driven.claim.run_id == run_id and not driven.sleeps:
            self._wake_after(0.0)

    def _wake_after(self, seconds: float) -> None:
        self._alarm += 1
        alarm = self._alarm

        def wake() -> None:
            if alarm == self._alarm and self._alive and not self._frozen:
                self._turn()

        self._world.after(max(seconds, TURN_SECONDS), wake)

    def _turn(self) -> None:
        try:
            self._wake_after(self._step())
        except LeaseLost as error:
            self._world.tell(self.owner, f"loses its lease: {error}")
            self._leave()
            self._wake_after(0.0)
        except (Requested, Diverged, Undecided) as error:
            self._end(error)
        except StorageUnreachable as error:
            self._world.tell(self.owner, str(error))
            self._without_store()
        if self.driven:
            self._witness.looks(self.driven)
        if self._freezes_before_commit and self._is_about_to_commit:
            seconds, self._freezes_before_commit = self._freezes_before_commit, None
            self.freeze(seconds, before_commit=True)

    def _end(self, error: SchedulerError) -> None:
        """Write down how the run is left, when that can be written."""
        assert self.driven
        claim = self.driven.claim
        status = RunStatus.FAILED if isinstance(error, Diverged) else RunStatus.PAUSED
        try:
            if isinstance(error, Requested):
                self._store.heed(claim)
            else:
                self._store.leave(claim, status)
        except (LeaseLost, StorageUnreachable) as gone:
            self._world.tell(self.owner, str(gone))
        else:
            self._world.tell(self.owner, f"leaves its run: {error!r}")
            self._witness.left(self.driven, error)
        self._leave()
        self._wake_after(0.0)

    def _without_store(self) -> None:
        """Try again, in which case nobody knows whether it was done, or be started anew."""
        if self._world.happens(0.5):
            self._wake_after(RETRY_SECONDS)
        else:
            self._alive = False
            self._world.after(RESTART_SECONDS, self.start)

    def _step(self) -> float:
        if self.driven is None:
            return self._begin()
        seconds = self.driven.step()
        if seconds is None:
            self._leave()
        return seconds or 0.0

    def _begin(self) -> float:
        claim = self._store.claim_next(self.owner, LEASE.seconds)
        if claim is None:
            return IDLE_SECONDS
        self._world.tell(self.owner, f"claims {claim.run_id} at epoch {claim.epoch}")
        kind = self._store.runs[claim.run_id].fingerprint
        self._link.begin(claim.run_id, NETWORK, kind, allow_mixed=False)
        parts = self._world, self._store, self._witness, self._link
        self.driven = Driven(*parts, claim, self._audit, self._diverged)
        return 0.0

    def _leave(self) -> None:
        if self.driven:
            claim = self.driven.claim
            with suppress(RedisUnreachable):
                self._link.end(claim.run_id, claim.epoch)
        self.driven = None
