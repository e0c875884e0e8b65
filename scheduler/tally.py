"""The microbatches that are held, and the workers whose answers hold them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.commands import Answer

#: Workers that must have found the same bits before an audited microbatch is held.
AUDIT_VOTES = 2


@dataclass(slots=True)
class _Poll:
    is_audited: bool
    is_doubted: bool = False  #: a worker found it not finite
    is_waived: bool = False
    votes: dict[str, Answer] = field(default_factory=dict)  # by worker
    held: Answer | None = None


class Tally:
    """One poll for each microbatch: it is held when enough workers found the same bits."""

    def __init__(
        self,
        microbatches: Iterable[int],
        audited: Iterable[int] = (),
        *,
        must_agree: bool = False,
        allow_mixed: bool = False,
    ) -> None:
        """With `must_agree` every microbatch needs two workers until `settle` is called."""
        chosen = set(audited)
        self._polls = {index: _Poll(index in chosen) for index in microbatches}
        self._open = set(self._polls)
        self._must_agree, self._allow_mixed = must_agree, allow_mixed

    @property
    def is_complete(self) -> bool:
        """True once every microbatch is held."""
        return not self._open

    def is_missing(self, microbatch: int) -> bool:
        """Return whether the microbatch still needs an answer."""
        return microbatch in self._open

    def is_audited(self, microbatch: int) -> bool:
        """Return whether two workers must agree on it, though none found it not finite."""
        return self._polls[microbatch].is_audited or self._must_agree

    def vote(self, microbatch: int, answer: Answer) -> None:
        """A worker found these bits. Held already, or found by it before: nothing changes."""
        poll = self._polls[microbatch]
        if microbatch in self._open and answer.worker not in poll.votes:
            poll.votes[answer.worker] = answer
            self._close(microbatch)

    def holder(self, microbatch: int) -> Answer:
        """The one answer that is counted for a microbatch that is held."""
        held = self._polls[microbatch].held
        if held is None:
            raise KeyError(microbatch)
        return held

    def voters(self, microbatch: int) -> set[str]:
        """The workers that have answered it."""
        return set(self._polls[microbatch].votes)

    def has_votes(self, microbatches: Iterable[int]) -> bool:
        """Return whether any of them was answered by some worker."""
        return any(self._polls[microbatch].votes for microbatch in microbatches)

    def is_disputed(self, microbatch: int) -> bool:
        """Return whether two workers found different bits, and none was proved right yet."""
        if microbatch not in self._open or len(self._polls[microbatch].votes) < AUDIT_VOTES:
            return False
        return len({self._found(microbatch, one) for one in self._answers(microbatch)}) > 1

    def is_foreign(self, microbatch: int) -> bool:
        """Return whether its answers come from workers of different fingerprints."""
        return len({answer.fingerprint for answer in self._answers(microbatch)}) > 1

    def proved_wrong(self, microbatch: int) -> list[tuple[str, str]]:
        """The workers outvoted in a microbatch that is held, each with one that was right."""
        answers = self._answers(microbatch)
        if microbatch in self._open or len(answers) == 1:
            return []
        right = self.holder(microbatch)
        winner = self._found(microbatch, right)
        return [
            (one.worker, right.worker) for one in answers if self._found(microbatch, one) != winner
        ]

    def doubt(self, microbatch: int) -> None:
        """A worker found it not finite: one answer is not enough any more."""
        self._polls[microbatch].is_doubted = True

    def waive(self, microbatch: int) -> None:
        """No second worker is there to audit it: one answer is enough."""
        self._polls[microbatch].is_waived = True
        self._close(microbatch)

    def forget(self, microbatch: int) -> None:
        """Forget all answers to it, so that every worker may be asked again."""
        poll = self._polls[microbatch]
        self._polls[microbatch] = _Poll(poll.is_audited, poll.is_doubted)
        self._open.add(microbatch)

    def start_over(self, *, must_agree: bool) -> None:
        """Forget all answers to everything."""
        self._must_agree = must_agree
        for microbatch in self._polls:
            self.forget(microbatch)

    def settle(self, fingerprint: str) -> None:
        """From now on only answers with this fingerprint count, and those that came do."""
        self._must_agree = False
        for microbatch, poll in self._polls.items():
            if not self._allow_mixed:
                own = {name: a for name, a in poll.votes.items() if a.fingerprint == fingerprint}
                poll.votes = own
            self._close(microbatch)

    def rests_on(self, fingerprint: str | None) -> bool:
        """Return whether any answer is left that has this fingerprint."""
        answers = (answer for poll in self._polls.values() for answer in poll.votes.values())
        return any(answer.fingerprint == fingerprint for answer in answers)

    def discard(self, worker: str) -> list[int]:
        """Forget all that this worker answered; returns what rested on it and is missing again.

        It is to be audited, if it was to be, even if that was waived.
        """
        reopened: list[int] = []
        for microbatch, poll in self._polls.items():
            vote = poll.votes.pop(worker, None)
            if vote is None or (poll.held and not self._agree(microbatch, vote, poll.held)):
                continue
            poll.held = self._winner(microbatch)
            if poll.held is None:
                poll.is_waived = False
                if microbatch not in self._open:
                    reopened.append(microbatch)
                self._open.add(microbatch)
        return reopened

    def _answers(self, microbatch: int) -> list[Answer]:
        return list(self._polls[microbatch].votes.values())

    def _found(self, microbatch: int, answer: Answer) -> tuple[str, str]:
        """Return what must be equal: the bits, and the fingerprint unless that may vary."""
        fingerprint = "" if self._allow_mixed else answer.fingerprint
        return fingerprint, answer.bits[microbatch]

    def _agree(self, microbatch: int, one: Answer, other: Answer) -> bool:
        return one is other or self._found(microbatch, one) == self._found(microbatch, other)

    def _winner(self, microbatch: int) -> Answer | None:
        """One of those who found what enough workers found."""
        answers = self._answers(microbatch)
        if not self._needs_two(self._polls[microbatch]):
            return next(iter(answers), None)
        found = [self._found(microbatch, answer) for answer in answers]
        agreed = (a for a, one in zip(answers, found, strict=True) if found.count(one) > 1)
        return next(agreed, None)

    def _needs_two(self, poll: _Poll) -> bool:
        wanted = poll.is_audited or poll.is_doubted or self._must_agree
        return wanted and not poll.is_waived

    def _close(self, microbatch: int) -> None:
        if microbatch in self._open:
            poll = self._polls[microbatch]
            poll.held = self._winner(microbatch)
            if poll.held is not None:
                self._open.discard(microbatch)
