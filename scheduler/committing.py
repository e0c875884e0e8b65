"""Computed iterations on their way into the history, several at a time if they are short."""

from __future__ import annotations

import time
from collections.abc import Iterator

from model.config import RunConfig
from scheduler.cadence import is_kept, is_recorded
from scheduler.outcomes import Computed, ledger_of
from scheduler.work import RunWatcher
from storage.commits import Commit
from storage.history import History
from storage.records import Claim, IterationRecord

#: Seconds after which an iteration waits for no other one to be committed with it. A transaction
#: costs as much as computing some dozens of images; what a killed scheduler had computed and not
#: committed is computed again, to the same bits.
LONGEST_WAIT_SECONDS = 0.5


class Committing:
    """The iterations of one claim that are computed and not committed."""

    def __init__(
        self, config: RunConfig, claim: Claim, history: History, watcher: RunWatcher
    ) -> None:
        self._config, self._claim, self._history, self._watcher = config, claim, history, watcher
        self._waiting: list[Commit] = []
        self._committed_at = float("-inf")  # people see at once that it goes on

    def add(self, record: IterationRecord, computed: Computed, fingerprint: str | None) -> None:
        """Take an iteration that follows the one before."""
        self._waiting.append(
            Commit(
                iteration=record,
                ledger=ledger_of(computed.outcomes, self._claim, record.iteration),
                image_values=computed.image_values,
                parameters=computed.parameters,
                fingerprint=fingerprint,
                keep_previous_checkpoint=is_kept(self._config, record.iteration),
                optimizer_state=computed.optimizer_state,
                record_images=is_recorded(self._config, record.iteration),
            )
        )

    @property
    def is_due(self) -> bool:
        """Whether it is long ago that something was committed."""
        return time.monotonic() - self._committed_at > LONGEST_WAIT_SECONDS

    def commit(self) -> Iterator[list[IterationRecord]]:
        """Commit what waits, then yield it, then heed what its person wants of the run."""
        if self._waiting:
            run = self._history.commit(self._claim, self._waiting)
            committed = [commit.iteration for commit in self._waiting]
            self._waiting, self._committed_at = [], time.monotonic()
            yield committed
            self._watcher.committed(run)
