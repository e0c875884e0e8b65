"""Which microbatches are held, and by whose answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.commands import Answer

#: Workers that must have found the same bits before an audited microbatch is held.
AUDIT_VOTES = 2


@dataclass(slots=True)
class _Poll:
    microbatch: int
    votes_needed: int
    waived: bool = False
    votes: dict[str, Answer] = field(default_factory=dict)  # by worker

    def bits(self) -> list[str]:
        return [answer.bits[self.microbatch] for answer in self.votes.values()]

    def winner(self) -> str | None:
        """The bits that enough workers found."""
        found, needed = self.bits(), 1 if self.waived else self.votes_needed
        return next((bits for bits in found if found.count(bits) >= needed), None)


class Tally:
    """One poll for each microbatch: it is held when enough workers found the same bits."""

    def __init__(self, microbatches: Iterable[int], audited: Iterable[int] = ()) -> None:
        chosen = set(audited)
        self._polls = {
            index: _Poll(index, AUDIT_VOTES if index in chosen else 1) for index in microbatches
        }
        self._open = set(self._polls)

    @property
    def is_complete(self) -> bool:
        """Whether every microbatch is held."""
        return not self._open

    def is_missing(self, microbatch: int) -> bool:
        """Whether it still needs an answer."""
        return microbatch in self._open

    def vote(self, microbatch: int, answer: Answer) -> None:
        """A worker found these bits. Held already, or found by it before: nothing changes."""
        poll = self._polls[microbatch]
        if microbatch in self._open and answer.worker not in poll.votes:
            poll.votes[answer.worker] = answer
            self._close(microbatch)

    def holder(self, microbatch: int) -> Answer:
        """The one answer that is counted for a microbatch that is held."""
        poll = self._polls[microbatch]
        winner = poll.winner()
        return next(one for one in poll.votes.values() if one.bits[microbatch] == winner)

    def voters(self, microbatch: int) -> set[str]:
        """The workers that have answered it."""
        return set(self._polls[microbatch].votes)

    def is_disputed(self, microbatch: int) -> bool:
        """Whether two workers found different bits, and none was proved right yet."""
        return microbatch in self._open and len(set(self._polls[microbatch].bits())) > 1

    def proved_wrong(self, microbatch: int) -> list[tuple[str, str]]:
        """The workers outvoted in a microbatch that is held, each with one that was right."""
        if microbatch in self._open:
            return []
        votes, right = self._polls[microbatch].votes, self.holder(microbatch)
        winner = right.bits[microbatch]
        return [
            (worker, right.worker)
            for worker, one in votes.items()
            if one.bits[microbatch] != winner
        ]

    def waive(self, microbatch: int) -> None:
        """No second worker is there to audit it: one answer is enough."""
        self._polls[microbatch].waived = True
        self._close(microbatch)

    def discard(self, worker: str) -> list[int]:
        """Forget all that this worker answered; returns what rested on it and is missing again.

        It is to be audited, if it was to be, even if that was waived.
        """
        reopened: list[int] = []
        for microbatch, poll in self._polls.items():
            if poll.votes.pop(worker, None) and poll.winner() is None:
                poll.waived = False
                if microbatch not in self._open:
                    reopened.append(microbatch)
                self._open.add(microbatch)
        return reopened

    def _close(self, microbatch: int) -> None:
        if self._polls[microbatch].winner() is not None:
            self._open.discard(microbatch)
