"""Schedulers: the real dispatcher, driven as `service`, `driving` and `training` drive it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from tapeworks.model.config import RunConfig
from tapeworks.model.networks.spec import GradientForm
from tapeworks.scheduler.committing import Committing
from tapeworks.scheduler.dispatch.celery import RETRY_SECONDS, CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.driving.keeper import Lease
from tapeworks.scheduler.driving.service import IDLE_SECONDS
from tapeworks.scheduler.errors import Diverged, Requested, SchedulerError, Undecided
from tapeworks.scheduler.events import Event, IterationCommitted, Notice
from tapeworks.scheduler.outcomes import Lap
from tapeworks.storage.errors import LeaseLost, StorageUnreachable
from tapeworks.storage.records import Claim, Request, RunStatus
from tapeworks.wire.signing import Signer
from tests.faults.simulation.problem import NETWORK, assigned, computed, work
from tests.faults.simulation.store import Store, counted
from tests.faults.simulation.witness import Witness
from tests.faults.simulation.world import World

#: What `tapeworks scheduler` claims with.
LEASE = Lease()

#: A turn of the loop takes so many seconds.
TURN_SECONDS = 0.001

#: Seconds before a scheduler that lost its database is started again.
RESTART_SECONDS = 1.0

#: Seconds that a commit may take, while the next iteration is computed.
COMMIT_SECONDS = (0.0, 0.002, 0.05, 0.5)


class Moment(StrEnum):
    """The time at which something happens to a scheduler."""

    NOW = "now"
    WAITING = "waiting"  #: when an iteration is computed and waits for others
    COMMITTING = "committing"  #: when it is about to commit


class Driven:
    """A claimed run in one scheduler's memory, from claim to release."""

    def __init__(
        self,
        world: World,
        store: Store,
        witness: Witness,
        dispatcher: CeleryDispatcher,
        claim: Claim,
        audit: float,
        diverged: set[str],
    ) -> None:
        run = store.runs[claim.run_id]
        self.claim, self.iteration, self.parameters = (
            claim,
            run.completed,
            run.parameters,
        )
        self.run, self.waived = run, set[int]()
        self._world, self._store, self._witness = world, store, witness
        self._dispatcher, self._audit, self._diverged = dispatcher, audit, diverged
        self._renewed_at = self._began_at = world.now
        self.started_over = False  #: since the witness looked
        self._work: Work | None = None
        config = RunConfig(iterations=run.iterations)
        self.committing = Committing(config, claim, store, self.events)  # type: ignore[arg-type]
        self.commits = False  #: what comes next is to commit what waits
        self.stored_at: float | None = None  #: when it has committed last
        self.leaves_for: Exception | None = None  #: once what waits is committed
        self._goes_over = False  #: from an iteration that is computed to what follows it
        self.is_wanted = True  #: nobody has asked for a pause, as of the latest renewal
        self.strangers = frozenset[str]()  #: as of the latest look, for the witness
        self.looked_at, self.stuck_since = 0, dict[int, float]()  # for the witness
        self.forgets_tick = False  # it was frozen just behind it
        self.sleeps = False  #: until it tries Redis again, or has committed

    @property
    def gathering(self) -> Gathering | None:
        """Of the iteration that is being computed, also while the one before is committed."""
        return self._dispatcher.gathering

    @property
    def link(self) -> Link:
        """The state that its scheduler keeps from one iteration to the next."""
        return self._dispatcher._link

    @property
    def now(self) -> float:
        """The simulated time."""
        return self._world.now

    @property
    def seconds_in_iteration(self) -> float:
        """Since it was begun."""
        return self._world.now - self._began_at

    def step(self) -> float | None:
        """Do what needs no waiting; return the seconds before the next step, None at the end."""
        if self.commits:
            return self._commit()
        if self.iteration == self.run.iterations and not (
            self._goes_over or self._is_to_be_evaluated
        ):
            self._store.leave(self.claim, RunStatus.COMPLETED)
            return None
        try:
            return self._go_on()
        except (SchedulerError, LeaseLost) as error:
            if not self.committing.waiting:
                raise
            self.leaves_for = error
            return self._commit_soon()

    def _go_on(self) -> float | None:
        if self._goes_over:
            return self._go_over()
        if self.gathering and self.gathering.finished:
            return self._finish(self.gathering)
        if self.iteration == self.run.iterations and not self._is_to_be_evaluated:
            self._store.leave(self.claim, RunStatus.COMPLETED)
            return None
        return self._compute()

    def tick(self, *, waiting: bool = False) -> None:
        """Keep the lease, and do what a person wants if it need not wait for the iteration."""
        if self._world.now - self._renewed_at > LEASE.renew_seconds and not self.forgets_tick:
            run = self._store.renew(self.claim, LEASE.seconds)
            self._renewed_at, self.is_wanted = self._world.now, run.request is None
            if run.request is Request.CANCEL or (waiting and run.request):
                raise Requested(run.request)
        self.forgets_tick = False

    def events(self, event: Event) -> None:
        """Write a notice into the run's history; log what is committed."""
        match event:
            case Notice(kind=kind, message=message, worker=worker):
                self._store.expect_no_later(self.claim)
                self._world.tell(self.claim.owner, message)
                self._witness.told(self, kind, message, worker)
            case IterationCommitted(record=committed):
                self._world.tell(self.claim.owner, f"commits {committed.iteration}")

    @property
    def _is_to_be_evaluated(self) -> bool:
        run = self._store.runs[self.claim.run_id]
        return run.evaluates and run.evaluated < self.iteration

    def _begin(self, iteration: int, parameters: bytes, wanted: GradientForm) -> Work:
        asked = work(self.claim, iteration, parameters, self.run, self._audit, wanted)
        if wanted is GradientForm.SUMMED and iteration == self.run.diverges_at:
            self._diverged.add(asked.parameters_digest)
        self._began_at = self._world.now
        self._witness.begins(self)
        return asked

    def _compute(self) -> float:
        wanted = GradientForm.NOTHING if self._is_to_be_evaluated else GradientForm.SUMMED
        self._work = self._work or self._begin(self.iteration, self.parameters, wanted)
        self.sleeps = not self._dispatcher.turn(self._work, self)
        if self.sleeps:
            return RETRY_SECONDS
        return self.link.exchange.waits_seconds  # type: ignore[attr-defined, no-any-return]

    def _finish(self, gathering: Gathering) -> float:
        result = gathering.result()
        ledger, kind = counted(result.outcomes), self.link.standing.fingerprint
        self._witness.counts(self, ledger, result.sums)
        if self._is_to_be_evaluated:
            self._store.evaluate(self.claim, ledger, self.waived, str(kind))
            self._leave_it()
            return 0.0
        after = assigned(self.parameters, [line.value for line in ledger])
        found = computed(gathering.work, result, after)
        self.committing.add(found, self._dispatcher, Lap())
        self.iteration, self.parameters = self.iteration + 1, after
        self._leave_it()
        self._goes_over = True
        return self._go_over()

    def _go_over(self) -> float:
        """Start what follows at once, then decide whether to commit what waits."""
        if self._work is None:
            self._start_next(self.iteration, self.parameters)
        self._goes_over = False
        if self._work is None or self.committing.is_due:
            return self._commit_soon()
        self._witness.waits(self)
        return 0.0

    def _commit_soon(self) -> float:
        self.commits = self.sleeps = True
        return self._world.chance.choice(COMMIT_SECONDS)

    def _leave_it(self) -> None:
        """Go on to what comes next."""
        self._dispatcher.gathering, self._work, self.waived = None, None, set()

    def _start_next(self, iteration: int, parameters: bytes) -> None:
        """Send the next iteration's messages, to be computed while those before are committed."""
        if iteration < self.run.iterations and not self.run.evaluates and self.is_wanted:
            self._work = self._begin(iteration, parameters, GradientForm.SUMMED)
            self._dispatcher.start(self._work, self)

    def _commit(self) -> float:
        run = self.committing.commit()
        self.commits, self.sleeps, self.stored_at = False, False, self.now
        if self.leaves_for:
            raise self.leaves_for
        if run.request is Request.CANCEL or (run.request and self.iteration < run.iterations):
            raise Requested(run.request)
        return 0.0


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
        self._awaited: tuple[Moment, Callable[[], None]] | None = None  # and what happens then
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
            self._dispatcher = CeleryDispatcher(self.owner, self._signer)
            self._wake_after(0.0)

    def is_well(self) -> None:
        """Nothing goes wrong with it any more."""
        self._awaited = None
        self.start()
        self.thaw()

    def crash(self, moment: Moment, *, seen: bool) -> None:
        """SIGKILL: others may see that it is dead, or must wait for its lease to end."""
        if not self._is_at(moment):
            self._awaited = moment, partial(self.crash, moment, seen=seen)
        elif self._alive:
            self._world.tell(self.owner, "crashes")
            if self.driven:
                self._witness.crashes(self.driven)
            self._alive = False
            if seen:
                self._store.dead.add(self.owner)
            self._world.after(self._world.chance.uniform(0.5, 15), self.start)

    def freeze(self, moment: Moment, seconds: float) -> None:
        """SIGSTOP: now may be between looking after its lease and what it does with it."""
        if not self._is_at(moment):
            self._awaited = moment, partial(self.freeze, moment, seconds)
        elif self._alive and not self._frozen:
            self._world.tell(self.owner, f"freezes for {seconds:.1f} seconds")
            self._frozen = True
            if self.driven:
                self.driven.forgets_tick = self._world.happens(0.5)
            self._world.after(seconds, self.thaw)

    def _is_at(self, moment: Moment) -> bool:
        if moment is Moment.NOW or self.driven is None:
            return moment is Moment.NOW
        if moment is Moment.COMMITTING:
            return self.driven.commits
        return bool(self.driven.committing.waiting) and not self.driven.commits

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
        if self._awaited and self._is_at(self._awaited[0]):
            (_, happen), self._awaited = self._awaited, None
            happen()

    def _end(self, error: SchedulerError) -> None:
        """Write down how the run is left, when that can be written."""
        assert self.driven
        claim = self.driven.claim
        status = RunStatus.FAILED if isinstance(error, Diverged) else RunStatus.PAUSED
        try:
            if isinstance(error, Requested):
                self._store.apply_request(claim)
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
        self._world.tell(self.owner, f"claims {claim.run_id} at term {claim.term}")
        run_id, kind = claim.run_id, self._store.runs[claim.run_id].fingerprint
        quarantined = self._witness.quarantined[run_id]
        self._dispatcher.begin(run_id, NETWORK, kind, allow_mixed=False, quarantined=quarantined)
        parts = self._world, self._store, self._witness, self._dispatcher
        self.driven = Driven(*parts, claim, self._audit, self._diverged)
        return 0.0

    def _leave(self) -> None:
        if self.driven:
            claim = self.driven.claim
            self._dispatcher.end(claim.run_id, claim.term)
        self.driven = None
