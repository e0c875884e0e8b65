"""Watches a run's commits appear in SQL, and says when."""

from __future__ import annotations

import threading
import time

from tests.faults.chaos.history import History, Unavailable
from tests.faults.chaos.journal import Journal

#: Seconds between two looks; recovery times are as exact as that.
LOOK_SECONDS = 0.025


class Observer:
    """A thread that writes every commit of one run into the journal."""

    def __init__(self, history: History, run_id: str, journal: Journal) -> None:
        self._history, self._run_id, self._journal = history, run_id, journal
        self.last = -1  #: the newest iteration that was seen
        self.seen_at = time.monotonic()  #: when it was
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look a last time, then no more."""
        self._leaving.set()
        self._thread.join()

    def _watch(self) -> None:
        looked_at = time.time()
        leaving = False
        while not leaving:
            leaving = self._leaving.wait(LOOK_SECONDS)
            asked_at = time.time()
            try:
                found = self._history.commits(self._run_id, self.last)
            except Unavailable:
                continue
            now = time.time()
            for commit in found:
                computed_at = commit.pop("computed_at")
                # Not stored at the look before this one, nor before it was computed. Of those that
                # were stored together, the last one's moment is the closest.
                not_before = max(looked_at, computed_at)
                self._journal.write("commit", now, not_before=not_before, **commit)
                self.last, self.seen_at = commit["iteration"], time.monotonic()
            looked_at = asked_at
