"""A run's knowledge of its workers, kept from iteration to iteration. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from tapeworks.scheduler.core.pace import Pace

#: A worker with so many invalid answers is quarantined for the run.
MOST_STRIKES = 3

#: Names that are remembered as registered: more than any fleet has, so that nobody can make the
#: list grow without end.
MOST_REGISTERED = 5000


class Standing:
    """The pace of a run's workers, which of them are trusted, and the fingerprint they must have.

    A fingerprint is pinned by answers that count, and firm once something is stored that rests on
    it. Until then it can be dropped together with those answers.
    """

    def __init__(
        self,
        quarantined: Iterable[str] = (),
        fingerprint: str | None = None,
        *,
        allow_mixed: bool = False,
        trusts_one: bool = False,
    ) -> None:
        """A `fingerprint` that the run has already is firm.

        With `trusts_one` the word of a single worker ends a run: all are children of one command.
        """
        self.pace = Pace()
        self.quarantined = set(quarantined)  #: names of the workers whose answers do not count
        self.not_allowed: set[str] = set()  #: living workers that may not run the run's network
        self.allowed: set[str] = set()  #: living workers that have run it
        self._alive: frozenset[str] = frozenset()  #: with the right key, as of the latest look
        self._registered: set[str] = set()  #: names that were alive, with the right key
        self.fingerprint, self.is_firm = fingerprint, fingerprint is not None
        self.allow_mixed, self.trusts_one = allow_mixed, trusts_one
        self._strikes: Counter[str] = Counter()

    @property
    def demanded_fingerprint(self) -> str | None:
        """The fingerprint that a worker must have to take a message; None for any."""
        return None if self.allow_mixed else self.fingerprint

    @property
    def excluded(self) -> set[str]:
        """The workers that get no message of this run."""
        return self.quarantined | self.not_allowed

    @property
    def is_open(self) -> bool:
        """True until a fingerprint is pinned, where it must be one."""
        return self.fingerprint is None and not self.allow_mixed

    def accepts(self, fingerprint: str) -> bool:
        """Return whether an answer with this fingerprint may count."""
        return self.demanded_fingerprint in (None, fingerprint)

    def pin(self, fingerprint: str) -> None:
        """Let only workers of this fingerprint compute the run, unless one is pinned already."""
        self.fingerprint = self.fingerprint or fingerprint

    def unpin(self) -> None:
        """Drop a fingerprint on which nothing rests that is stored."""
        self.fingerprint = None

    def confirm(self) -> None:
        """Keep the fingerprint for good: what rests on it is about to be stored."""
        self.is_firm = self.fingerprint is not None

    def register(self, workers: Iterable[str]) -> None:
        """Note that these are alive, with the right key; remember it as long as there is room.

        A worker that is gone may come back with other permissions.
        """
        self._alive = frozenset(workers)
        self.not_allowed &= self._alive
        self.allowed &= self._alive
        for worker in self._alive - self._registered:
            if len(self._registered) < MOST_REGISTERED:
                self._registered.add(worker)

    def knows(self, worker: str) -> bool:
        """Return whether it is registered, or was: made-up names that fill the list bar nobody."""
        return worker in self._alive or worker in self._registered

    def asks_in_vain(self, workers: Set[str]) -> bool:
        """Return whether others than these would only refuse the network, which all of them run."""
        return bool(self.not_allowed) and workers <= self.allowed

    def exclude(self, worker: str) -> bool:
        """Note that it may not run the network; return False if that is known, or it is not."""
        is_new = worker in self._alive and worker not in self.excluded
        if is_new:
            self.not_allowed.add(worker)
        return is_new

    def strike(self, worker: str) -> bool:
        """Note an invalid answer; whether it was one too many, for the first time."""
        self._strikes[worker] += 1
        return self._strikes[worker] >= MOST_STRIKES and worker not in self.quarantined
