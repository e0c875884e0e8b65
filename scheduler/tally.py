"""Which microbatches are held, and by whose answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Workers that must have found the same bits before an audited microbatch is held.
AUDIT_VOTES = 2


@dataclass(slots=True)
class _Poll:
    needed: int
    votes: dict[str, tuple[str, str]] = field(default_factory=dict)  # worker: (bits, attempt)

    def winner(self) -> str | None:
        """The bits that enough workers found."""
        found = [bits for bits, _ in self.votes.values()]
        return next((bits for bits in found if found.count(bits) >= self.needed), None)


class Tally:
    """One poll for each microbatch: it is held when enough workers found the same bits."""

    def __init__(self, microbatches: Iterable[int], audited: Iterable[int] = ()) -> None:
        chosen = set(audited)
        self._polls = {
            index: _Poll(AUDIT_VOTES if index in chosen else 1) for index in microbatches
        }
        self._open = set(self._polls)

    @property
    def is_complete(self) -> bool:
        """Whether every microbatch is held."""
        return not self._open

    def is_missing(self, microbatch: int) -> bool:
        """Whether it still needs an answer."""
        return microbatch in self._open

    def vote(self, microbatch: int, worker: str, bits: str, attempt_id: str) -> None:
        """A worker found these bits. Held already, or found by it before: nothing changes."""
        poll = self._polls[microbatch]
        if microbatch in self._open and worker not in poll.votes:
            poll.votes[worker] = (bits, attempt_id)
            self._close(microbatch)

    def holder(self, microbatch: int) -> str:
        """The id of the one attempt that is counted for a microbatch that is held."""
        poll = self._polls[microbatch]
        winner = poll.winner()
        return next(attempt for bits, attempt in poll.votes.values() if bits == winner)

    def voters(self, microbatch: int) -> set[str]:
        """The workers that have answered it."""
        return set(self._polls[microbatch].votes)

    def is_disputed(self, microbatch: int) -> bool:
        """Whether two workers found different bits, and none was proved right yet."""
        bits = {bits for bits, _ in self._polls[microbatch].votes.values()}
        return microbatch in self._open and len(bits) > 1

    def proved_wrong(self, microbatch: int) -> list[tuple[str, str]]:
        """The workers outvoted in a microbatch that is held, each with one that was right."""
        poll = self._polls[microbatch]
        winner = None if microbatch in self._open else poll.winner()
        if winner is None:
            return []
        right = next(worker for worker, (bits, _) in poll.votes.items() if bits == winner)
        return [(worker, right) for worker, (bits, _) in poll.votes.items() if bits != winner]

    def waive(self, microbatch: int) -> None:
        """No second worker is there to audit it: one answer is enough."""
        self._polls[microbatch].needed = 1
        self._close(microbatch)

    def discard(self, worker: str) -> None:
        """Forget all that this worker answered; what rested on it is missing again."""
        for microbatch, poll in self._polls.items():
            if poll.votes.pop(worker, None) and poll.winner() is None:
                self._open.add(microbatch)

    def _close(self, microbatch: int) -> None:
        if self._polls[microbatch].winner() is not None:
            self._open.discard(microbatch)
