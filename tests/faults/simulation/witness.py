"""Invariants that must hold after every event, seen from outside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, digest
from tapeworks.scheduler import committing
from tapeworks.scheduler.core.coordinator import Coordinator
from tapeworks.scheduler.core.decisions import WORKER_QUARANTINED, Answer
from tapeworks.scheduler.errors import Diverged, Undecided
from tapeworks.storage.commits import Commit
from tapeworks.storage.records import Claim
from tapeworks.wire.messages import ShardMessage
from tests.faults.simulation.problem import value
from tests.faults.simulation.store import Counted, Run, stored

if TYPE_CHECKING:
    from tapeworks.scheduler.dispatch.gathering import Gathering
    from tests.faults.simulation.schedulers import Driven

#: Attempts that an iteration may need: for each of its shards, and for each second.
MOST_ATTEMPTS, MOST_ATTEMPTS_PER_SECOND = 30, 40


#: Seconds within which a way is found for what nobody may take; Redis may be away meanwhile.
STUCK_SECONDS = 30.0


class Violation(AssertionError):
    """Something happened that must not."""


class Witness:
    """Keeps its own account of claims, commits and what is counted."""

    def __init__(self) -> None:
        self.terms: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.computed = defaultdict[tuple[str, int], int](int)  #: iterations, by run and term
        self.waived: dict[tuple[str, int, int], set[int]] = {}  #: shards, by term and iteration
        self.waived_lies: set[str] = set()  #: runs with a wrong answer that no audit looked at
        self.happened: set[str] = set()  #: kinds of events that were told, and what else is rare
        self.undecided: set[str] = set()  #: runs that the only worker would have ended
        self.broken: set[str] = set()  #: fingerprints of single workers that an audit must find
        self.quarantined = defaultdict[str, set[str]](set)  #: workers that events name, by run
        self._sent: set[str] = set()
        self._counted: dict[int, dict[int, Answer]] = {}  # by shard, for each run in hand

    # The store

    def claimed(self, claim: Claim) -> None:
        """A claim was given."""
        if claim.term <= self.terms.get(claim.run_id, 0):
            raise Violation(f"{claim} is not newer tha term {self.terms[claim.run_id]}")
        self.terms[claim.run_id] = claim.term

    def tries(self, claim: Claim, commits: Sequence[Commit]) -> None:
        """Iterations are about to be stored, or refused."""
        if len(commits) > 1 and claim.term != self.terms[claim.run_id]:
            self.happened.add("refused_together")

    def commits(self, claim: Claim, before: Run, commits: Sequence[Commit], after: Run) -> None:
        """Iterations were stored in one transaction, each computed from the one before."""
        if claim.term != self.terms[claim.run_id]:
            raise Violation(f"{claim} committed while {self.terms[claim.run_id]} is the term")
        for commit in commits:
            iteration = commit.iteration.iteration
            if iteration != self.committed.get(claim.run_id, 0):
                raise Violation(f"iteration {iteration} of {claim} does not come next")
            self.committed[claim.run_id] = iteration + 1
            ledger = stored(commit)
            waived = self.waived[claim.run_id, claim.term, iteration]
            self._whole(claim, before, ledger)
            self._all_right(
                claim, before, ledger, waived, after.fingerprint or "", GradientForm.SUMMED
            )
            if iteration == before.diverges_at and claim.run_id not in self.waived_lies:
                raise Violation(f"{claim} goes on with what is no number")
            before = replace(before, parameters=commit.parameters)
        if before.parameters != after.parameters or self.committed[claim.run_id] != after.completed:
            raise Violation(f"{claim} left its run at {after}")
        if len(commits) > 1:
            self.happened.add("committed_together")

    def evaluates(
        self, claim: Claim, before: Run, ledger: list[Counted], waived: set[int], kind: str
    ) -> None:
        """An evaluation was stored."""
        self._whole(claim, before, ledger)
        self._all_right(claim, before, ledger, waived, kind, GradientForm.NOTHING)

    def _whole(self, claim: Claim, run: Run, ledger: Sequence[Counted]) -> None:
        if [line.microbatch for line in ledger] != list(range(run.microbatches)):
            raise Violation(f"{claim} counted {[line.microbatch for line in ledger]}")

    def _all_right(
        self,
        claim: Claim,
        before: Run,
        ledger: Iterable[Counted],
        waived: set[int],
        kind: str,
        wanted: GradientForm,
    ) -> None:
        name = digest(before.parameters)
        for line in ledger:
            if line.value != value(name, line.microbatch, kind, wanted):
                if line.shard not in waived:
                    raise Violation(f"{claim} counted a wrong answer: {line}")
                self.waived_lies.add(claim.run_id)
            if kind in self.broken and line.shard not in waived:
                raise Violation(f"{claim} rests on the word of one broken worker: {line}")

    def counts(self, driven: Driven, ledger: Sequence[Counted], sums: Arrays) -> None:
        """An iteration or an evaluation is computed; it is stored, with others or alone."""
        total = sum(line.value for line in ledger)  # exact, as the sums are
        if wrong_sums := [array for array in sums.values() if (array != total).any()]:
            raise Violation(f"{driven.claim} added up {wrong_sums} of values that make {total}")
        quarantined = self.quarantined[driven.claim.run_id]  # under whatever claim
        if wrong := [line for line in ledger if line.worker in quarantined]:
            raise Violation(f"{driven.claim} counted what quarantined workers found: {wrong}")
        if sums:
            of_claim = driven.claim.run_id, driven.claim.term
            self.computed[of_claim] = driven.iteration + 1
            self.waived[*of_claim, driven.iteration] = driven.waived

    def waits(self, driven: Driven) -> None:
        """An iteration is computed and not committed yet: not long after others were."""
        stored_at = driven.stored_at
        if stored_at is None or driven.now - stored_at >= committing.LONGEST_WAIT_SECONDS:
            raise Violation(f"{driven.claim} keeps iterations back, stored last at {stored_at}")
        self.happened.add("iterations_waited")

    def left(self, driven: Driven, error: Exception) -> None:
        """A run was left before its end."""
        run = driven.run
        if waiting := [one.iteration.iteration for one in driven.committing.waiting]:
            raise Violation(f"{run.id} is left, and {waiting} are computed and not stored")
        judged = isinstance(error, Diverged | Undecided)
        if judged and driven.iteration != run.diverges_at:
            raise Violation(f"{run.id} did not diverge in iteration {driven.iteration}: {error}")
        if isinstance(error, Undecided):
            self.undecided.add(run.id)

    # The schedulers

    def sends(self, message: ShardMessage) -> None:
        """A scheduler sends a message: an attempt of its own, all before it being computed."""
        if message.key.id in self._sent:
            raise Violation(f"attempt {message.key.id} is sent twice")
        self._sent.add(message.key.id)
        stored = self.committed.get(message.key.run, 0)
        computed = max(stored, self.computed[message.key.run, message.key.term])
        if message.key.iteration > computed:
            raise Violation(f"{message.key.id} is out; iteration {computed} is not computed")
        if message.key.iteration > stored:
            self.happened.add("next_started")

    def crashes(self, driven: Driven) -> None:
        """A scheduler ends without a word."""
        if driven.commits and driven.gathering:
            self.happened.add("crashed_before_commit")
        if driven.committing.waiting and not driven.commits:
            self.happened.add("crashed_while_iterations_waited")

    def begins(self, driven: Driven) -> None:
        """A new iteration, of which nothing is counted."""
        self._counted[id(driven)] = {}
        driven.looked_at, driven.stuck_since = 0, {}

    def told(self, driven: Driven, kind: str, message: str, worker: str | None) -> None:
        """An event of the run's history."""
        self.happened.add(kind)
        if worker and kind == WORKER_QUARANTINED:
            self.quarantined[driven.claim.run_id].add(worker)
        if kind == "iteration_started_over":
            driven.started_over = True
            driven.waived.clear()
        if kind == "audit_waived" and self._because_of_a_loose_pin(driven):
            raise Violation("an audit is waived because of a pin that nothing stored rests on")
        if kind == "audit_waived":
            driven.waived.add(int(message.split()[1]))

    def _because_of_a_loose_pin(self, driven: Driven) -> bool:
        if driven.gathering is None or driven.link.standing.is_firm:
            return False
        return bool(driven.gathering._coordinator._sending.strangers & driven.strangers)

    def looks(self, driven: Driven) -> None:
        """After each of its turns: each shard is counted once, and attempts are no flood."""
        if driven.gathering is None:
            return
        coordinator = driven.gathering._coordinator
        driven.strangers = coordinator._sending.strangers
        if not driven.gathering._commands:  # Redis is away, if some are left over
            self._counted_once(driven, driven.gathering, coordinator)
        self._bounded(driven, len(coordinator._sending.slots), driven.gathering.attempts)
        self._takeable(driven, coordinator)

    def _counted_once(self, driven: Driven, gathering: Gathering, coordinator: Coordinator) -> None:
        """Check that what is counted stays so unless all is void, and that it is added up."""
        tally, shards = coordinator._tally, coordinator._sending.slots
        counted = {s: tally.get_counted(s) for s in shards if not tally.is_missing(s)}
        before, self._counted[id(driven)] = self._counted[id(driven)], counted
        again = [shard for shard, answer in before.items() if counted.get(shard) is not answer]
        if counted and driven.commits and not driven.leaves_for:
            raise Violation(f"shards {sorted(counted)} are counted before the commit that is due")
        if again and not driven.started_over:
            raise Violation(f"shards {again} were counted twice")
        driven.started_over = False
        added = {shard: found.worker for shard, found in gathering._outcomes.items()}
        if added != {shard: answer.worker for shard, answer in counted.items()}:
            raise Violation(f"shards {sorted(added)} are added up, {sorted(counted)} are counted")

    def _takeable(self, driven: Driven, coordinator: Coordinator) -> None:
        """Somebody may take whatever is missing, or those that do not agree are asked again."""
        sending = coordinator._sending
        attempts = list(sending.attempts.values())
        for attempt in attempts[driven.looked_at :]:
            if sending.workers and not sending._living.keys() - attempt.not_for:
                raise Violation(f"nobody may take attempt {attempt.id}")
        driven.looked_at = len(attempts)
        for slot in sending.slots.values():
            now = driven._world.now
            waits = slot.shard.index in coordinator._settling._stuck_since
            lost = slot.due_at <= now and not waits and sending.is_stuck(slot)
            since = driven.stuck_since.setdefault(slot.shard.index, now)
            if not lost:
                del driven.stuck_since[slot.shard.index]
            elif now - since > STUCK_SECONDS:
                raise Violation(f"nobody may take shard {slot.shard.index}, ever")

    def _bounded(self, driven: Driven, shards: int, attempts: int) -> None:
        seconds = driven.seconds_in_iteration
        if attempts > MOST_ATTEMPTS * shards + MOST_ATTEMPTS_PER_SECOND * seconds:
            raise Violation(f"{attempts} attempts at {shards} shards")
