"""Consequences of answers: workers set aside, the fingerprint pinned, audits waived.

Its rule is that somebody may take whatever is missing. Where no living worker may, the microbatch
counts as it is, or waits for another worker, or its workers are asked again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.commands import Command, Reason, SetAside, Tell
from scheduler.sending import Sending, Slot, patience_ends
from scheduler.standing import MOST_STRIKES, Standing
from scheduler.tally import AUDIT_VOTES, Tally


class Settling:
    """Judges workers by their answers, and finds a way on where no worker is left to ask."""

    def __init__(
        self, sending: Sending, tally: Tally, standing: Standing, *, is_audited: bool
    ) -> None:
        """Until a fingerprint is pinned, of an audited run two must agree on everything."""
        self._sending, self._tally, self._standing = sending, tally, standing
        self._is_audited = is_audited
        self._slots = {
            microbatch.index: slot
            for slot in sending.slots.values()
            for microbatch in slot.shard.microbatches
        }

    def strike(self, worker: str, problem: str) -> list[Command]:
        """Note an invalid answer, and set the worker aside if it was one too many."""
        if not self._standing.strike(worker):
            return []
        return self._set_aside(
            worker, f"{MOST_STRIKES} of its answers were invalid, the last one: {problem}"
        )

    def _set_aside(self, worker: str, reason: str) -> list[Command]:
        """Nothing that it answered in this iteration counts, nor a pin that rests on it."""
        standing = self._standing
        standing.aside.add(worker)
        for index in self._tally.discard(worker):
            self._slots[index].due(Reason.SET_ASIDE)
        for slot in self._sending.slots.values():
            slot.not_finite_by = [one for one in slot.not_finite_by if one != worker]
        told: list[Command] = [SetAside(worker=worker, reason=reason)]
        if self._is_loose and not self._tally.rests_on(standing.fingerprint):
            told += self._start_over()
        self._sending.refit()
        return told

    def finite_after_all(self, slot: Slot) -> list[Command]:
        """Once all of its microbatches were found finite, whoever said otherwise was wrong."""
        if not slot.not_finite_by or self._sending.missing(slot.shard):
            return []
        wrong, slot.not_finite_by = slot.not_finite_by, []
        strikes = (self.strike(one, "not finite, unlike another's") for one in wrong)
        return [command for commands in strikes for command in commands]

    def judge(self, microbatches: Iterable[int]) -> list[Command]:
        """Set aside the workers that others have proved wrong."""
        commands: list[Command] = []
        for index in microbatches:
            for wrong, right in self._tally.proved_wrong(index):
                if wrong not in self._standing.aside:
                    commands += self._set_aside(wrong, _mismatch(index, wrong, right))
            if self._tally.is_disputed(index) and not self._tally.is_foreign(index):
                commands.append(_dispute(index, self._tally.voters(index)))
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
        standing = self._standing
        is_open = standing.fingerprint is None and not standing.allow_mixed
        return not is_open or self._sending.shows(fingerprint)

    def pin(self, microbatches: Iterable[int]) -> None:
        """Pin the fingerprint of the first answer that is held; from then on no other counts."""
        held = (index for index in microbatches if not self._tally.is_missing(index))
        index = next(held, None)
        if index is not None and self._standing.fingerprint is None:
            self._standing.pin(self._tally.holder(index).fingerprint)
            self._tally.settle(self._tally.holder(index).fingerprint)
            self._sending.refit()

    def _start_over(self) -> list[Command]:
        """Drop a fingerprint that nothing stored rests on, with all answers of this iteration."""
        message = (
            f"Nobody that may go on has fingerprint {self._standing.fingerprint}, and nothing "
            "that is stored rests on it; starting the iteration over, with any."
        )
        self._standing.unpin()
        self._tally.start_over(must_agree=self._is_audited)
        for slot in self._sending.slots.values():
            slot.not_finite_by = []
        self._sending.refit()
        self._sending.all_due(Reason.STARTED_OVER)
        return [Tell(kind="fingerprint_dropped", message=message)]

    # What nobody may take

    def settle(self, now: float) -> list[Command]:
        """See to it that somebody may take whatever is missing."""
        if self._is_loose and self._sending.strangers and not self._sending.workers:
            return self._start_over()
        commands: list[Command] = []
        for slot in self._sending.slots.values():
            if slot.due_at <= now:
                self._sending.note_silence(slot, now)
                commands += self._settled_shard(slot, now)
        return commands

    def _settled_shard(self, slot: Slot, now: float) -> list[Command]:
        stuck = self._sending.stuck(slot)
        if not stuck:
            slot.stuck_since = None
            return []
        if self._rests_on_pin(slot, stuck):
            return self._start_over()
        commands = self._outvoted(slot, stuck) or self.waive(
            slot, stuck, doubted=slot.not_finite_by
        )
        commands += self.finite_after_all(slot)
        stuck = self._sending.stuck(slot)
        return commands + (self._wait_for_another(slot, stuck, now) if stuck else [])

    def _rests_on_pin(self, slot: Slot, stuck: Iterable[int]) -> bool:
        """Return whether an audit would be waived because of a pin that nothing stored rests on."""
        if not (self._is_loose and self._sending.strangers) or slot.not_finite_by:
            return False
        tally = self._tally
        return any(tally.is_audited(one) and not tally.is_disputed(one) for one in stuck)

    def waive(
        self,
        slot: Slot,
        microbatches: Iterable[int],
        unable: Iterable[str] = (),
        doubted: Iterable[str] = (),
    ) -> list[Command]:
        """Count microbatches as they are when no second worker is there to look.

        Not if two differ; nor, where an audit was asked for, if another found no numbers or is
        there and does not answer. While nobody is seen at all, as after a restart of Redis, a
        second one may be there.
        """
        commands: list[Command] = []
        for index in microbatches:
            tally, voters = self._tally, self._tally.voters(index)
            is_audited = tally.is_audited(index)
            there = self._sending.workers if is_audited else self._sending.awaited(slot)
            alone = there and not there - voters - set(unable) - set(doubted)
            if not voters or tally.is_disputed(index) or not alone or (is_audited and doubted):
                continue
            tally.waive(index)
            if is_audited:
                message = f"Microbatch {index} is not audited: no second worker is there."
                commands.append(Tell(kind="audit_waived", message=message))
        self.pin(microbatches)
        return commands

    def _outvoted(self, slot: Slot, stuck: Iterable[int]) -> list[Command]:
        """In an audit two that find no numbers outvote one that does."""
        commands: list[Command] = []
        if len(set(slot.not_finite_by)) < AUDIT_VOTES:
            return commands
        for index in stuck:
            for wrong in self._tally.voters(index) if self._tally.is_audited(index) else ():
                commands += self._set_aside(wrong, _mismatch(index, wrong, slot.not_finite_by[0]))
        return commands

    def _wait_for_another(self, slot: Slot, stuck: list[int], now: float) -> list[Command]:
        """Ask those again who do not agree, once nobody else has come for a while."""
        if slot.stuck_since is None:
            slot.stuck_since = now
            silent = slot.silent & self._sending.workers
            return [] if slot.stuck else [_waits(stuck, silent)]
        if patience_ends(slot) > now:
            return []
        for index in stuck:
            self._tally.forget(index)
        slot.ask_again()
        slot.stuck_since, slot.stuck = None, slot.stuck + 1
        slot.due(Reason.ASKED_AGAIN)
        return []


def _waits(microbatches: list[int], silent: set[str]) -> Tell:
    indices = ", ".join(map(str, microbatches[:10]))
    problem = f"The workers that are here do not agree on microbatch {indices}"
    if silent:
        problem = f"A second worker has to agree on microbatch {indices}, and {names(silent)} "
        problem += "does not answer"
    message = f"{problem}; waiting for another one, and asking them again now and then."
    return Tell(kind="audit_waits", message=message)


def names(workers: Iterable[str]) -> str:
    """Return the names of a few workers in words, and how many more there are."""
    first, *others = sorted(workers)
    return f"{first} and {len(others)} more" if others else first


def _dispute(microbatch: int, voters: set[str]) -> Tell:
    workers = " and ".join(sorted(voters))
    message = f"{workers} found different bits for microbatch {microbatch}; a third worker decides."
    return Tell(kind="audit_mismatch", message=message)


def _mismatch(microbatch: int, wrong: str, right: str) -> str:
    return (
        f"an audit of microbatch {microbatch} found other bits than two workers, one of them "
        f"{right}, agree on; check its earlier iterations with tapeworks replay ({wrong})"
    )
