"""Consequences of answers: workers quarantined, the fingerprint pinned, audits waived.

Its rule is that somebody may take whatever is missing. Where no living worker may, the shard counts
as it is, or waits for another worker, or its workers are asked again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapeworks.scheduler.core.decisions import (
    WORKER_QUARANTINED,
    Command,
    Quarantine,
    Reason,
    StartOver,
    Tell,
)
from tapeworks.scheduler.core.sending import Sending, Slot
from tapeworks.scheduler.core.standing import MOST_STRIKES, Standing
from tapeworks.scheduler.core.votes import AUDIT_VOTES, Tally

#: Seconds that workers who do not agree wait for another one before they are asked again; twice as
#: many each time, as often as that.
STUCK_SECONDS = 4.0
STUCK_DOUBLINGS = 4


class Settling:
    """Judges workers by their answers, and finds a way on where no worker is left to ask."""

    def __init__(
        self, sending: Sending, tally: Tally, standing: Standing, *, is_audited: bool
    ) -> None:
        """Until a fingerprint is pinned, of an audited run two must agree on everything."""
        self._sending, self._tally, self._standing = sending, tally, standing
        self._is_audited = is_audited
        self._stuck_since: dict[int, float] = {}  # shards whose workers do not agree, with no other

    def strike(self, worker: str, problem: str) -> list[Command]:
        """Note an invalid answer, and quarantine the worker if it was one too many."""
        if not self._standing.strike(worker):
            return []
        return self._quarantine(
            worker, f"{MOST_STRIKES} of its answers were invalid, the last one: {problem}"
        )

    def _quarantine(self, worker: str, reason: str) -> list[Command]:
        """Nothing that it answered in this iteration counts.

        What was counted of it is added up with the rest: the iteration is started over then.
        Each worker is quarantined once.
        """
        self._standing.quarantined.add(worker)
        message = f"Worker {worker} is quarantined for this run: {reason}."
        told: list[Command] = [
            Tell(kind=WORKER_QUARANTINED, message=message, worker=worker),
            Quarantine(worker=worker),
        ]
        for slot in self._sending.slots.values():
            slot.not_finite_by = [one for one in slot.not_finite_by if one != worker]
        if self._tally.rests_on(worker):
            told += self._start_over(f"Answers of {worker} were counted in this iteration")
        self._tally.discard(worker)
        self._sending.refit()
        return told

    def finite_after_all(self, slot: Slot) -> list[Command]:
        """Strike the workers that found a shard not finite which was found finite after all."""
        if not slot.not_finite_by or self._sending.is_missing(slot):
            return []
        wrong, slot.not_finite_by = slot.not_finite_by, []
        strikes = (self.strike(one, "not finite, unlike another's") for one in wrong)
        return [command for commands in strikes for command in commands]

    def judge(self, shard: int) -> list[Command]:
        """Quarantine the workers that others have proved wrong."""
        commands: list[Command] = []
        for wrong, right in self._tally.find_outvoted(shard):
            commands += self._quarantine(wrong, _mismatch(shard, wrong, right))
        if self._tally.is_disputed(shard) and not self._tally.is_foreign(shard):
            commands.append(_dispute(shard, self._tally.voters(shard)))
        return commands

    # Fingerprints

    @property
    def _is_loose(self) -> bool:
        """True while the fingerprint is pinned, but nothing stored rests on it."""
        standing = self._standing
        return standing.demanded_fingerprint is not None and not standing.is_firm

    def may_pin(self, fingerprint: str) -> bool:
        """Return whether an answer with this fingerprint would not pin one to be dropped at once.

        Its worker is not seen, as for a moment after a restart of Redis, and others are.
        """
        return not self._standing.is_open or self._sending.shows(fingerprint)

    def pin(self, shard: int) -> None:
        """Pin the fingerprint of the first answer that is counted; no other counts after it."""
        if self._standing.fingerprint is None and not self._tally.is_missing(shard):
            fingerprint = self._tally.get_counted(shard).fingerprint
            self._standing.pin(fingerprint)
            self._tally.settle(fingerprint)
            self._sending.refit()

    def _start_over(self, problem: str) -> list[Command]:
        """Drop all answers of this iteration, and a fingerprint that nothing stored rests on."""
        standing, dropped = self._standing, ""
        if self._is_loose:
            dropped = f" Its workers need not have fingerprint {standing.fingerprint} any more."
            standing.unpin()
        self._tally.start_over(must_agree=self._is_audited and standing.is_open)
        for slot in self._sending.slots.values():
            slot.not_finite_by = []
        self._stuck_since.clear()
        self._sending.refit()
        self._sending.all_due(Reason.STARTED_OVER)
        message = f"{problem}; it is started over.{dropped}"
        return [Tell(kind="iteration_started_over", message=message), StartOver()]

    # What nobody may take

    def settle(self, now: float) -> list[Command]:
        """See to it that somebody may take whatever is missing."""
        if self._is_loose and self._sending.strangers and not self._sending.workers:
            return self._start_over(self._nobody_left())
        commands: list[Command] = []
        for slot in self._sending.collect_due(now):
            self._sending.note_silence(slot, now)
            commands += self._settle_shard(slot, now)
        return commands

    def _settle_shard(self, slot: Slot, now: float) -> list[Command]:
        if not self._sending.is_stuck(slot):
            self._stuck_since.pop(slot.shard.index, None)
            return []
        if self._rests_on_pin(slot):
            return self._start_over(self._nobody_left())
        commands = self._quarantine_outvoted(slot) or self.waive(slot, doubted=slot.not_finite_by)
        commands += self.finite_after_all(slot)
        is_stuck = self._sending.is_stuck(slot)
        return commands + (self._wait_for_another(slot, now) if is_stuck else [])

    def _nobody_left(self) -> str:
        return (
            f"No worker that may go on has fingerprint {self._standing.fingerprint}, and nothing "
            "that is stored rests on this iteration"
        )

    def _rests_on_pin(self, slot: Slot) -> bool:
        """Return whether an audit would be waived because of a pin that nothing stored rests on."""
        if not (self._is_loose and self._sending.strangers) or slot.not_finite_by:
            return False
        shard = slot.shard.index
        return self._tally.is_audited(shard) and not self._tally.is_disputed(shard)

    def waive(
        self, slot: Slot, unable: Iterable[str] = (), doubted: Iterable[str] = ()
    ) -> list[Command]:
        """Count a shard as it is when no second worker is there to look.

        Not if two differ; nor, where an audit was asked for, if another found no numbers or is
        there and does not answer. While nobody is seen at all, as after a restart of Redis, a
        second one may be there.
        """
        tally, shard = self._tally, slot.shard.index
        voters, is_audited = tally.voters(shard), tally.is_audited(shard)
        there = self._sending.workers if is_audited else self._sending.candidates_for(slot)
        alone = there and not there - voters - set(unable) - set(doubted)
        if not voters or tally.is_disputed(shard) or not alone or (is_audited and doubted):
            return []
        tally.waive(shard)
        self.pin(shard)
        if not is_audited:
            return []
        message = f"Shard {shard} is not audited: no second worker is there."
        return [Tell(kind="audit_waived", message=message)]

    def _quarantine_outvoted(self, slot: Slot) -> list[Command]:
        """In an audit two that find no numbers outvote one that does."""
        commands: list[Command] = []
        shard, doubters = slot.shard.index, list(slot.not_finite_by)
        if len(set(doubters)) < AUDIT_VOTES or not self._tally.is_audited(shard):
            return commands
        for wrong in self._tally.voters(shard):
            commands += self._quarantine(wrong, _mismatch(shard, wrong, doubters[0]))
        return commands

    # Who waits for whom

    @property
    def is_waiting(self) -> bool:
        """True while some shard needs a worker that is not there."""
        return any(map(self._tally.is_missing, self._stuck_since))

    def next_wake(self, now: float) -> float:
        """Return when, after now, workers that do not agree on a shard are asked again."""
        waiting = filter(self._tally.is_missing, self._stuck_since)
        times = map(self._patience_ends, waiting)
        return min((at for at in times if at > now), default=float("inf"))

    def _patience_ends(self, shard: int) -> float:
        doublings = min(self._sending.slots[shard].asked_again, STUCK_DOUBLINGS)
        return self._stuck_since[shard] + STUCK_SECONDS * 2.0**doublings

    def _wait_for_another(self, slot: Slot, now: float) -> list[Command]:
        """Ask those again who do not agree, once nobody else has come for a while."""
        shard = slot.shard.index
        if shard not in self._stuck_since:
            self._stuck_since[shard] = now
            silent = slot.silent & self._sending.workers
            return [] if slot.asked_again else [_waits(shard, silent)]
        if self._patience_ends(shard) > now:
            return []
        del self._stuck_since[shard]
        self._tally.forget(shard)
        slot.ask_again()
        self._sending.due(slot, Reason.ASKED_AGAIN)
        return []


def _waits(shard: int, silent: set[str]) -> Tell:
    problem = f"The workers that are here do not agree on shard {shard}"
    if silent:
        problem = f"A second worker has to agree on shard {shard}, and {names(silent)} "
        problem += "does not answer"
    message = f"{problem}; waiting for another one, and asking them again now and then."
    return Tell(kind="audit_waits", message=message)


def names(workers: Iterable[str]) -> str:
    """Return the names of a few workers in words, and how many more there are."""
    first, *others = sorted(workers)
    return f"{first} and {len(others)} more" if others else first


def _dispute(shard: int, voters: set[str]) -> Tell:
    workers = " and ".join(sorted(voters))
    message = f"{workers} found different bits for shard {shard}; a third worker decides."
    return Tell(kind="audit_mismatch", message=message)


def _mismatch(shard: int, wrong: str, right: str) -> str:
    return (
        f"an audit of shard {shard} found other bits than two workers, one of them {right}, "
        f"agree on; check its earlier iterations with tapeworks replay ({wrong})"
    )
