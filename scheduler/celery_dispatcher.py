"""The Celery dispatcher: shards out through Redis, answers back, each shard counted once."""

from __future__ import annotations

import contextlib
import time

from model.config import NetworkConfig
from scheduler.gathering import Gathering
from scheduler.link import Link
from scheduler.metering import UNMETERED, Meter
from scheduler.work import Result, Watcher, Work
from workers.crash_points import CrashPoint, crash_point
from workers.errors import RedisUnreachable
from workers.log_context import about
from workers.messages import Wanted
from workers.signing import UNSIGNED, Signer

#: Seconds before Redis is tried again.
RETRY_SECONDS = 0.5


class CeleryDispatcher:
    """Sends shards to the workers of one Redis, and again whatever does not come back."""

    def __init__(
        self,
        redis_url: str,
        signer: Signer = UNSIGNED,
        meter: Meter = UNMETERED,
        *,
        trusts_one: bool = False,
    ) -> None:
        """With a key in its signer it counts no answer that is not signed with it.

        With `trusts_one` the word of a single worker may end a run: all there are our own.
        """
        self.attempts = 0
        self.shards = 0
        self._link, self._meter = Link(redis_url, signer, trusts_one=trusts_one), meter

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the workers that may answer; the first answer that counts pins it."""
        return self._link.standing.fingerprint

    def begin(
        self, run_id: str, network: NetworkConfig, fingerprint: str | None, *, allow_mixed: bool
    ) -> None:
        """Tell workers which network to compile."""
        self._link.begin(run_id, network, fingerprint, allow_mixed=allow_mixed)

    def fingerprints(self) -> frozenset[str]:
        """Return those of the living workers with this scheduler's key; none without Redis."""
        try:
            return self._link.fingerprints()
        except RedisUnreachable:
            return frozenset()

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """Have every shard computed by some worker, and count each once."""
        evaluation = work.wanted is Wanted.NOTHING or None
        with about(iteration=work.iteration, evaluation=evaluation):
            gathering = self._gather(work, watcher)
        self.attempts, self.shards = gathering.attempts, gathering.shards
        return gathering.result()

    def _gather(self, work: Work, watcher: Watcher) -> Gathering:
        gathering: Gathering | None = None
        while gathering is None or not gathering.finished:
            stands_still = gathering is not None and gathering.is_waiting
            watcher.tick(waiting=self._link.is_waiting or stands_still)
            try:
                self._link.join()
                gathering = gathering or Gathering(self._link, work, watcher, self._meter)
                gathering.turn()
                self._link.succeeded(watcher)
            except RedisUnreachable as error:
                self._link.failed(watcher, str(error))
                if gathering:
                    gathering.start_over()
                time.sleep(RETRY_SECONDS)
        crash_point(CrashPoint.ALL_COUNTED)
        self._meter.out(0)
        return gathering

    def end(self, run_id: str, epoch: int) -> None:
        """Take the run's keys out of Redis; they would vanish by themselves."""
        with contextlib.suppress(RedisUnreachable):
            self._link.end(run_id, epoch)
