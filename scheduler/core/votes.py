"""The shards that are counted, and the workers whose answers they rest on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tapeworks.scheduler.core.decisions import Answer

#: Workers that must have found the same bits before an audited shard is counted.
AUDIT_VOTES = 2


@dataclass(slots=True)
class _Poll:
    is_audited: bool
    is_doubted: bool = False  #: a worker found it not finite
    votes: dict[str, Answer] = field(default_factory=dict)  # by worker
    counted: Answer | None = None


class Tally:
    """One poll for each shard: it is counted, as a whole, when enough workers agree."""

    def __init__(
        self,
        shards: Iterable[int],
        audited: Iterable[int] = (),
        *,
        must_agree: bool = False,
        allow_mixed: bool = False,
    ) -> None:
        """With `must_agree` every shard needs two workers until `settle` is called."""
        chosen = set(audited)
        self._polls = {shard: _Poll(shard in chosen) for shard in shards}
        self._missing = set(self._polls)
        self._newest: list[Answer] = []
        self._must_agree, self._allow_mixed = must_agree, allow_mixed

    @property
    def is_complete(self) -> bool:
        """True once every shard is counted."""
        return not self._missing

    @property
    def missing(self) -> int:
        """Shards of which no answer is counted."""
        return len(self._missing)

    def is_missing(self, shard: int) -> bool:
        """Return whether no answer to the shard is counted."""
        return shard in self._missing

    def is_audited(self, shard: int) -> bool:
        """Return whether two workers must agree on it, though none found it not finite."""
        return self._polls[shard].is_audited or self._must_agree

    def needs_two(self, shard: int) -> bool:
        """Return whether two workers must agree on it, for whatever reason."""
        return self.is_audited(shard) or self._polls[shard].is_doubted

    def vote(self, shard: int, answer: Answer) -> None:
        """A worker found these bits. Counted already, or found by it before: nothing changes.

        Raises `ValueError` for an answer without bits where two workers must agree.
        """
        if self.needs_two(shard) and not answer.bits:
            raise ValueError(f"Expected the bits of an answer to shard {shard}. Received: none.")
        poll = self._polls[shard]
        if shard in self._missing and answer.worker not in poll.votes:
            poll.votes[answer.worker] = answer
            self._count(shard)

    def take_counted(self) -> list[Answer]:
        """The answers that were counted since the last call, in that order."""
        newest, self._newest = self._newest, []
        return newest

    def get_counted(self, shard: int) -> Answer:
        """The one answer to a shard that is counted. Raises `KeyError` while none is."""
        counted = self._polls[shard].counted
        if counted is None:
            raise KeyError(shard)
        return counted

    def holds(self, shard: int, answer: Answer) -> bool:
        """Return whether this very answer is the vote of its worker, counted or not."""
        return self._polls[shard].votes.get(answer.worker) is answer

    def voters(self, shard: int) -> set[str]:
        """The workers that have answered it."""
        return set(self._polls[shard].votes)

    def is_disputed(self, shard: int) -> bool:
        """Return whether two workers found different bits, and none was proved right yet."""
        votes = self._polls[shard].votes.values()
        return shard in self._missing and len(set(map(self._ballot_of, votes))) > 1

    def is_foreign(self, shard: int) -> bool:
        """Return whether its answers come from workers of different fingerprints."""
        return len({answer.fingerprint for answer in self._polls[shard].votes.values()}) > 1

    def find_outvoted(self, shard: int) -> list[tuple[str, str]]:
        """The workers outvoted in a shard that is counted, each with one that was right."""
        poll = self._polls[shard]
        if poll.counted is None:
            return []
        right, votes = poll.counted, poll.votes.values()
        return [(one.worker, right.worker) for one in votes if not self._agree(one, right)]

    def doubt(self, shard: int) -> None:
        """A worker found it not finite: one answer is not enough any more."""
        self._polls[shard].is_doubted = True

    def waive(self, shard: int) -> None:
        """Count the first answer, since no second worker is there to agree with it."""
        self._close(shard, next(iter(self._polls[shard].votes.values())))

    def forget(self, shard: int) -> None:
        """Forget all answers to it, so that every worker may be asked again."""
        poll = self._polls[shard]
        self._polls[shard] = _Poll(poll.is_audited, poll.is_doubted)
        self._missing.add(shard)

    def start_over(self, *, must_agree: bool) -> None:
        """Forget all answers to everything, those too that nobody has taken as counted."""
        self._must_agree = must_agree
        self._newest.clear()
        for shard in self._polls:
            self.forget(shard)

    def settle(self, fingerprint: str) -> None:
        """From now on only answers with this fingerprint count, and those that came do."""
        self._must_agree = False
        for shard, poll in self._polls.items():
            if not self._allow_mixed:
                own = {name: a for name, a in poll.votes.items() if a.fingerprint == fingerprint}
                poll.votes = own
            self._count(shard)

    def rests_on(self, worker: str) -> bool:
        """Return whether a shard is counted for which this worker's word was needed."""
        return any(
            poll.counted is not None and self._agree(poll.votes[worker], poll.counted)
            for poll in self._polls.values()
            if worker in poll.votes
        )

    def discard(self, worker: str) -> None:
        """Forget all that this worker answered; nothing may rest on it."""
        for poll in self._polls.values():
            poll.votes.pop(worker, None)

    def _ballot_of(self, answer: Answer) -> tuple[str, str]:
        """Return what must be equal: the bits, and the fingerprint unless that may vary."""
        return "" if self._allow_mixed else answer.fingerprint, answer.bits

    def _agree(self, one: Answer, other: Answer) -> bool:
        return one is other or self._ballot_of(one) == self._ballot_of(other)

    def _winner(self, shard: int) -> Answer | None:
        """One of those who found what enough workers found."""
        answers = list(self._polls[shard].votes.values())
        if not self.needs_two(shard):
            return next(iter(answers), None)
        found = list(map(self._ballot_of, answers))
        agreed = (a for a, one in zip(answers, found, strict=True) if found.count(one) > 1)
        return next(agreed, None)

    def _count(self, shard: int) -> None:
        """Count the answer on which enough workers agree, if there is one."""
        if shard in self._missing and (winner := self._winner(shard)):
            self._close(shard, winner)

    def _close(self, shard: int, answer: Answer) -> None:
        self._polls[shard].counted = answer
        self._missing.discard(shard)
        self._newest.append(answer)
