"""The Celery dispatcher: shards out through Redis, answers back, each shard counted once."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.scheduler.dispatch.contract import Result, Watcher, Work
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.errors import SchedulerError
from tapeworks.scheduler.events import ShardsOutstanding
from tapeworks.wire.errors import RedisUnreachable, WorkersError
from tapeworks.wire.log_context import about
from tapeworks.wire.signing import UNSIGNED, Signer

#: Seconds before Redis is tried again.
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class CeleryDispatcher:
    """Sends shards to the workers of one Redis, and again whatever does not come back."""

    def __init__(
        self,
        redis_url: str,
        signer: Signer = UNSIGNED,
        *,
        trusts_one: bool = False,
    ) -> None:
        """With a key in its signer it counts no answer that is not signed with it.

        With `trusts_one` the word of a single worker may end a run: all there are our own.
        """
        self.attempts = 0
        self.shards = 0
        self.gathering: Gathering | None = None  #: of the work in progress
        self._link = Link(redis_url, signer, trusts_one=trusts_one)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the workers that may answer; the first answer that counts pins it."""
        return self._link.standing.fingerprint

    def begin(
        self,
        run_id: str,
        network: AnyNetwork,
        fingerprint: str | None,
        *,
        allow_mixed: bool,
        quarantined: Collection[str] = (),
        source: str | None = None,
    ) -> None:
        """Tell workers which network to compile."""
        self._link.begin(
            run_id,
            network,
            fingerprint,
            allow_mixed=allow_mixed,
            quarantined=quarantined,
            source=source,
        )

    def fingerprints(self) -> frozenset[str]:
        """Return those of the living workers with this scheduler's key; none without Redis."""
        try:
            return self._link.fingerprints()
        except RedisUnreachable:
            return frozenset()

    def refused_networks(self) -> frozenset[str]:
        """Return digests of users' networks that no living worker may run, of runs driven here."""
        try:
            return self._link.refused_networks()
        except RedisUnreachable:
            return frozenset()

    def start(self, work: Work, watcher: Watcher) -> None:
        """Send the work's shards, and look at no answer before `compute` is called.

        What keeps a shard from going out is left to `compute`, which meets it again.
        """
        self.gathering = None
        if self._link.is_waiting:
            return
        with _about(work):
            self.gathering = Gathering(self._link, work, watcher)
            try:
                self.gathering.start()
            except RedisUnreachable:
                self.gathering.send_again()
            except (SchedulerError, WorkersError) as error:
                logger.debug("Iteration %d is not all sent: %s", work.iteration, error)

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """Have every shard computed by some worker, and count each once."""
        with _about(work):
            gathering = self._gather(work, watcher)
        self.attempts, self.shards = gathering.attempts, gathering.shards
        return gathering.result()

    def turn(self, work: Work, watcher: Watcher) -> bool:
        """Send what is due and judge an answer; return whether Redis could be reached."""
        if self.gathering and self.gathering.work is not work:
            self.gathering = None
        watcher.tick(waiting=self.is_waiting)
        try:
            self._link.join(watcher)
            if self.gathering is None:
                self.gathering = Gathering(self._link, work, watcher)
            self.gathering.turn()
            self._link.report_recovery(watcher)
        except RedisUnreachable as error:
            self._link.report_outage(watcher, str(error))
            if self.gathering:
                self.gathering.send_again()
            return False
        return True

    @property
    def is_waiting(self) -> bool:
        """True while nothing can go on until Redis or a worker comes back."""
        stands_still = self.gathering is not None and self.gathering.is_waiting
        return self._link.is_waiting or stands_still

    def _gather(self, work: Work, watcher: Watcher) -> Gathering:
        while True:
            is_reached = self.turn(work, watcher)
            if self.gathering and self.gathering.finished:
                break
            if not is_reached:
                time.sleep(RETRY_SECONDS)
        gathering, self.gathering = self.gathering, None
        watcher.events(ShardsOutstanding(0))
        return gathering

    def end(self, run_id: str, term: int) -> None:
        """Take the run's keys out of Redis, where they would vanish by themselves.

        Messages of what was started and not computed are stale from then on.
        """
        self.gathering = None
        with contextlib.suppress(RedisUnreachable):
            self._link.end(run_id, term)


def _about(work: Work) -> contextlib.AbstractContextManager[None]:
    """Name the iteration in the lines logged meanwhile."""
    return about(iteration=work.iteration, evaluation=work.wanted is GradientForm.NOTHING or None)
