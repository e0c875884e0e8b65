"""Computed iterations on their way into the history, several at a time if they are short."""

from __future__ import annotations

import time

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.cadence import is_kept, is_recorded
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.events import IterationCommitted, Listener, ignore
from tapeworks.scheduler.outcomes import Computed, Lap, ledger_of
from tapeworks.storage.commits import Commit
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, IterationRecord, RunRecord

#: Seconds after which an iteration waits for no other one to be committed with it. A transaction
#: costs as much as computing some dozens of images; what a killed scheduler had computed and not
#: committed is computed again, to the same bits.
LONGEST_WAIT_SECONDS = 0.5


class Committing:
    """The iterations of one claim that are computed and not committed."""

    def __init__(
        self, config: RunConfig, claim: Claim, history: History, events: Listener = ignore
    ) -> None:
        self._config, self._claim, self._history = config, claim, history
        self._events = events
        self.waiting: list[Commit] = []  #: in the order of their iterations
        self._committed_at = float("-inf")  # people see at once that it goes on

    def add(self, computed: Computed, dispatcher: Dispatcher, lap: Lap) -> None:
        """Take an iteration that follows the one before, as the dispatcher has computed it."""
        iteration, claim = computed.work.iteration, self._claim
        record = IterationRecord(
            run_id=claim.run_id,
            iteration=iteration,
            images=computed.images,
            loss=computed.loss,
            accuracy=computed.accuracy,
            gradient_norm=computed.gradient_norm,
            parameters_digest=computed.parameters_digest,
            term=claim.term,
            shards=dispatcher.shards,
            attempts=dispatcher.attempts,
            workers=computed.workers,
            started_at=lap.started_at,
            seconds=lap.seconds,
        )
        self.waiting.append(
            Commit(
                iteration=record,
                ledger=ledger_of(computed.outcomes, claim, iteration),
                image_values=computed.image_values,
                parameters=computed.parameters,
                fingerprint=dispatcher.fingerprint,
                keep_previous_checkpoint=is_kept(self._config, iteration),
                optimizer_state=computed.optimizer_state,
                record_images=is_recorded(self._config, iteration),
            )
        )

    @property
    def is_due(self) -> bool:
        """True if the last commit is so long ago that what waits is committed now."""
        return time.monotonic() - self._committed_at >= LONGEST_WAIT_SECONDS

    def commit(self) -> RunRecord:
        """Commit all that waits, one at least; return the run as it stands then."""
        run = self._history.commit(self._claim, self.waiting)
        committed, self.waiting = self.waiting, []
        self._committed_at = time.monotonic()
        for commit in committed:
            self._events(IterationCommitted(commit.iteration))
        return run
