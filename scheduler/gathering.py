"""One iteration's shards through Redis: sent, received, judged, sent again."""

from __future__ import annotations

import time
from collections import Counter

from model.parameters import all_finite
from scheduler.errors import AnswerInvalid, RunFailed, diverged
from scheduler.link import Link
from scheduler.outstanding import Attempt, Outstanding
from scheduler.sharding import Shard, shard_count, split
from scheduler.validation import largest_bytes, outcomes, read_arrays, read_header
from scheduler.work import Outcome, Watcher, Work
from workers import app as celery
from workers.chunks import CHUNK_IMAGES
from workers.exchange import IMAGES_SECONDS, PARAMETERS_SECONDS
from workers.messages import AnswerHeader, MicrobatchMessage, ShardMessage, Status

#: A shard whose attempts come back without a valid answer more often than this ends the run.
MOST_FAILURES = 5

#: Attempts that must agree that a result is not finite before the run counts as diverged.
DIVERGED_ATTEMPTS = 2

#: The longest wait for an arrival, in seconds; between two waits the lease is renewed.
ARRIVAL_SECONDS = 0.5
SHORTEST_WAIT_SECONDS = 0.01

#: Seconds before a shard that a worker refused is sent again, for another worker to take.
REFUSED_SECONDS = 1.0


class Gathering:
    """The Celery side of one `Work`."""

    def __init__(self, link: Link, work: Work, watcher: Watcher) -> None:
        self._link, self._work, self._watcher = link, work, watcher
        self._chunks = link.chunks(work.data)
        self._server_id: str | None = None
        self._departures = link.departures
        self._failures: Counter[int] = Counter()
        self._diverged: Counter[int] = Counter()
        count = shard_count(work.shards, len(work.microbatches), link.live_workers)
        self._outstanding = Outstanding(split(work.microbatches, count), link.pace, self._name)
        self.shards = count

    @property
    def finished(self) -> bool:
        """Whether every microbatch was counted."""
        return self._outstanding.finished

    @property
    def attempts(self) -> int:
        """Messages sent so far."""
        return self._outstanding.sent

    def turn(self) -> list[Outcome]:
        """Send what is due, then wait a moment for an answer; the outcomes it brings, if any."""
        self._link.look(self._watcher)
        if self._link.server_id != self._server_id:
            self._publish()
        if self._link.departures != self._departures:  # nobody says what they had in hand
            self._departures = self._link.departures
            self._outstanding.send_all_again()
        for attempt in self._outstanding.due(time.monotonic(), self._link.live_workers):
            self._send(attempt)
        work, wait = self._work, self._wait_seconds()
        attempt_id = self._link.exchange.next_arrival(work.run_id, work.epoch, wait)
        return self._take(attempt_id) if attempt_id else []

    def _wait_seconds(self) -> float:
        if not self._link.live_workers:
            return ARRIVAL_SECONDS  # what is overdue is not sent to nobody
        until_due = self._outstanding.next_due() - time.monotonic()
        return min(ARRIVAL_SECONDS, max(SHORTEST_WAIT_SECONDS, until_due))

    def start_over(self) -> None:
        """Redis failed: whatever was sent may be lost, and what was published too."""
        self._server_id = None
        self._outstanding.send_all_again()

    def _name(self, shard: Shard, number: int) -> str:
        work = self._work
        return f"{work.run_id}.{work.epoch}.{work.iteration}.{shard.index}.{number}"

    def _publish(self) -> None:
        if self._server_id is not None:
            self._watcher.notice("redis_restarted", "Redis was restarted; sending again.")
            self._outstanding.send_all_again()
        work, exchange = self._work, self._link.exchange
        exchange.announce_run(work.run_id, work.network)
        exchange.announce_iteration(work.run_id, work.epoch, work.iteration)
        exchange.publish(work.parameters, PARAMETERS_SECONDS)
        self._link.publish_images(self._chunks)
        self._server_id = self._link.server_id

    def _publish_missing(self, digests: tuple[str, ...]) -> None:
        for name in digests:
            payload = self._chunks.payload(name)
            if payload is not None:
                self._link.exchange.publish(payload, IMAGES_SECONDS)
            elif name == self._work.parameters_digest:
                self._link.exchange.publish(self._work.parameters, PARAMETERS_SECONDS)

    def _send(self, attempt: Attempt) -> None:
        work, shard = self._work, attempt.shard
        if attempt.number > 1:
            self._watcher.notice(
                "sent_again",
                f"Shard {shard.index} of iteration {work.iteration} sent again, "
                f"attempt {attempt.number}.",
            )
            # Gone from Redis, workers would take every message of this iteration for an old one.
            self._link.exchange.announce_iteration(work.run_id, work.epoch, work.iteration)
        celery.send(
            ShardMessage(
                attempt_id=attempt.id,
                run_id=work.run_id,
                epoch=work.epoch,
                iteration=work.iteration,
                shard=shard.index,
                attempt=attempt.number,
                network=work.network,
                wanted=work.wanted,
                parameters_digest=work.parameters_digest,
                chunk_images=CHUNK_IMAGES,
                chunks=self._chunks.needed(shard.images),
                microbatches=tuple(
                    MicrobatchMessage(index=microbatch.index, images=microbatch.images)
                    for microbatch in shard.microbatches
                ),
                fingerprint=self._link.demanded_fingerprint,
            )
        )

    def _take(self, attempt_id: str) -> list[Outcome]:
        attempt = self._outstanding.attempt(attempt_id)
        if attempt is None:  # late, twice, or of an earlier iteration: counted already
            self._link.exchange.drop_answer(attempt_id)
            return []
        taken = self._link.exchange.take_answer(attempt_id, largest_bytes(self._work, attempt))
        if taken is None:
            return []
        try:
            return self._judge(read_header(taken[0], self._work, attempt), taken[1], attempt)
        except AnswerInvalid as error:
            self._watcher.notice("answer_invalid", f"Attempt {attempt_id} is not counted: {error}.")
            self._failed(attempt, f"its answers were invalid: {error}")
            return []

    def _judge(self, header: AnswerHeader, payload: bytes, attempt: Attempt) -> list[Outcome]:
        if header.status is Status.MISSING:
            self._publish_missing(header.missing)
            self._outstanding.send_again(attempt.shard)
            return []
        if header.status is Status.FAILED:
            self._failed(attempt, f"worker {header.worker} reported {header.detail}")
            return []
        if header.status is Status.REFUSED or not self._link.accepts(header.fingerprint):
            self._link.refuse(self._watcher, header.worker, header.fingerprint)
            self._outstanding.send_again(attempt.shard, time.monotonic() + REFUSED_SECONDS)
            return []
        arrays = read_arrays(payload, header, self._work, attempt)
        if not all_finite(arrays):
            self._not_finite(attempt)
            return []
        self._link.pin(header.fingerprint)
        self._outstanding.count(attempt, time.monotonic())
        return outcomes(arrays, header, self._work, attempt)

    def _failed(self, attempt: Attempt, problem: str) -> None:
        shard = attempt.shard
        self._failures[shard.index] += 1
        if self._failures[shard.index] > MOST_FAILURES:
            raise RunFailed(
                f"Shard {shard.index} of iteration {self._work.iteration} failed "
                f"{self._failures[shard.index]} times; at last {problem}."
            )
        self._outstanding.send_again(shard)

    def _not_finite(self, attempt: Attempt) -> None:
        self._diverged[attempt.shard.index] += 1
        if self._diverged[attempt.shard.index] >= DIVERGED_ATTEMPTS:
            raise diverged(self._work.iteration)
        self._outstanding.send_again(attempt.shard)
