"""One iteration's shards through Redis: the coordinator's driver."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

from pydantic import ValidationError

from model.parameters import Arrays, all_finite, digest, to_bytes
from scheduler.commands import (
    Answer,
    Attempt,
    Command,
    Diverged,
    GiveUp,
    Pause,
    Reason,
    Send,
    SetAside,
    Tell,
    Withdraw,
)
from scheduler.coordinator import Coordinator
from scheduler.errors import AnswerInvalid, RunFailed, Undecided, diverged
from scheduler.link import Link
from scheduler.metering import UNMETERED, Meter, Verdict
from scheduler.sharding import Shard, shard_count, split
from scheduler.validation import (
    earlier_attempt,
    fewest_shards,
    largest_bytes,
    outcomes,
    read_arrays,
    read_header,
    worker_of,
)
from scheduler.work import Outcome, Watcher, Work
from workers import app as celery
from workers.chunks import CHUNK_IMAGES
from workers.crash_points import CrashPoint, crash_point
from workers.errors import SignatureWrong
from workers.limits import MOST_WORKERS
from workers.log_context import about
from workers.messages import AnswerHeader, MicrobatchMessage, ShardMessage, Status

logger = logging.getLogger(__name__)

#: The longest wait for an arrival, in seconds; between two waits the lease is renewed.
ARRIVAL_SECONDS = 0.5
SHORTEST_WAIT_SECONDS = 0.01

#: Which microbatches are audited is nobody's guess.
CHANCE = random.SystemRandom()


class Gathering:
    """The Celery side of one `Work`."""

    def __init__(self, link: Link, work: Work, watcher: Watcher, meter: Meter = UNMETERED) -> None:
        self._link, self._work, self._watcher, self._meter = link, work, watcher, meter
        service = link.standing.pace.service_seconds
        count = shard_count(work.shards, len(work.microbatches), len(link.workers), service)
        count = min(max(count, fewest_shards(work)), len(work.microbatches))
        audited = [m.index for m in work.microbatches if CHANCE.random() < work.audit]
        shards = split(work.microbatches, count)
        is_audited = work.audit > 0
        self._coordinator = Coordinator(
            shards, link.standing, self._name, audited, is_audited=is_audited
        )
        self._whole = Shard(index=-1, microbatches=tuple(work.microbatches))
        self._outcomes: dict[tuple[Answer, int], Outcome] = {}
        self._commands: deque[Command] = deque()
        self._published = False
        self.shards = count

    @property
    def finished(self) -> bool:
        """True once every microbatch is held and all that follows from it is done."""
        return self._coordinator.finished and not self._commands

    @property
    def is_waiting(self) -> bool:
        """True while nothing can go on until another worker comes or those that are here agree."""
        return self._coordinator.is_waiting

    @property
    def attempts(self) -> int:
        """Messages sent so far."""
        return self._coordinator.sent

    def counted(self) -> list[Outcome]:
        """Every microbatch's outcome, once it is finished. What it rests on is kept for good."""
        self._link.standing.confirm()
        counted = self._coordinator.counted()
        return [self._outcomes[answer, microbatch] for microbatch, answer in counted.items()]

    def turn(self) -> None:
        """Send what is due, then wait a moment for an answer and judge it."""
        if self._link.lost_everything(self._work.run_id, self._watcher) and self._published:
            self.start_over()
        if not self._published:
            self._link.publish(self._work, self._watcher)
            self._published = True
        link, now = self._link, time.monotonic()
        seen = link.living, link.runs, link.queue_length, link.in_hand
        self._coordinator.saw_workers(*seen, now)
        self._do(self._coordinator.woke(now))
        self._meter.out(self._coordinator.out)
        crash_point(CrashPoint.MESSAGES_SENT)
        if self.finished:
            return
        seconds = self._wait_seconds(self._coordinator.next_wake(now))
        attempt_id = self._link.exchange.next_arrival(self._work.run_id, seconds)
        if attempt_id:
            crash_point(CrashPoint.ARRIVAL_POPPED)
            attempt = self._coordinator.attempt(attempt_id)
            with _about(attempt):
                self._do(self._take(attempt_id, attempt))

    def start_over(self) -> None:
        """Redis failed: whatever was sent may be lost, and what was published too."""
        self._published = False
        self._link.forget_published()
        self._commands = deque(c for c in self._commands if not isinstance(c, Send))
        self._coordinator.lost_queue(Reason.REDIS_FAILED)

    def _wait_seconds(self, until: float) -> float:
        return min(ARRIVAL_SECONDS, max(SHORTEST_WAIT_SECONDS, until - time.monotonic()))

    def _name(self, shard: Shard, number: int) -> str:
        return self._work.attempt_id(self._work.epoch, shard.index, number)

    # Commands out

    def _do(self, commands: Iterable[Command]) -> None:
        """Carry them out in order; those that Redis' failure leaves over come first next time."""
        self._commands.extend(commands)
        while self._commands:
            self._carry_out(self._commands[0])
            self._commands.popleft()
            self._watcher.tick()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Send():
                with _about(command.attempt):
                    self._send(command)
            case Tell():
                with about(worker=command.worker):
                    self._watcher.notice(command.kind, command.message)
            case SetAside():
                self._link.exchange.set_aside(self._work.run_id, [command.worker])
                reason = f"Worker {command.worker} is set aside for this run: {command.reason}."
                with about(worker=command.worker):
                    self._watcher.notice("worker_set_aside", reason)
            case Withdraw():
                self._link.exchange.withdraw(command.attempts)
            case GiveUp():
                raise RunFailed(
                    f"Shard {command.shard} of iteration {self._work.iteration} failed "
                    f"{command.failures} times; at last {command.problem}."
                )
            case Pause():
                raise Undecided(f"In iteration {self._work.iteration} {command.reason}")
            case Diverged():
                raise diverged(self._work.iteration)

    def _send(self, command: Send) -> None:
        work, attempt = self._work, command.attempt
        if command.reason.is_told:
            self._watcher.notice(
                "sent_again",
                f"Shard {attempt.shard.index} of iteration {work.iteration} sent again, "
                f"attempt {attempt.number}: {command.reason}.",
            )
        celery.send(self._message(attempt), self._link.exchange.signer)
        self._meter.sent(work, command.reason)
        logger.debug("Attempt %s is sent", attempt.id, extra={"event": "attempt_sent"})
        crash_point(CrashPoint.BETWEEN_MESSAGES)

    def _message(self, attempt: Attempt) -> ShardMessage:
        work, shard = self._work, attempt.shard
        try:
            return ShardMessage(
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
                chunks=self._link.chunks(work.data).needed(shard.images),
                microbatches=tuple(
                    MicrobatchMessage(index=microbatch.index, images=microbatch.images)
                    for microbatch in shard.microbatches
                ),
                fingerprint=self._link.standing.demanded_fingerprint,
                not_for=tuple(sorted(attempt.not_for))[:MOST_WORKERS],
            )
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]["msg"]
            problem = found.removeprefix("Value error, ").rstrip(".")
            raise RunFailed(
                f"Shard {shard.index} asks more than a worker may be asked: {problem}. Submit the "
                "run with more shards, smaller microbatches or gradients=summed."
            ) from error

    # Events in

    def _take(self, attempt_id: str, attempt: Attempt | None) -> list[Command]:
        if attempt is None and attempt_id.startswith(f"{self._work.run_id}.{self._work.epoch}."):
            self._link.exchange.drop_answer(attempt_id)  # late or twice: counted already
            self._judged(attempt_id, Verdict.LATE)
            return []
        wanted = attempt.shard if attempt else self._whole
        try:
            taken = self._link.exchange.take_answer(attempt_id, largest_bytes(self._work, wanted))
        except SignatureWrong as error:
            self._link.forged(self._watcher, attempt_id, error)
            self._judged(attempt_id, Verdict.FORGED)
            return []  # not even a strike: anybody may have named that worker
        if taken is None:
            self._judged(attempt_id, Verdict.GONE)
            return []
        crash_point(CrashPoint.ANSWER_TAKEN)
        if attempt is None:
            return self._take_earlier(attempt_id, *taken)
        try:
            return self._judge(read_header(taken[0], self._work, attempt), taken[1], attempt)
        except AnswerInvalid as error:
            worker = worker_of(taken[0])
            self._judged(attempt_id, Verdict.INVALID, worker)
            return self._coordinator.invalid(attempt, worker, str(error), time.monotonic())

    def _take_earlier(self, attempt_id: str, head: bytes, payload: bytes) -> list[Command]:
        """Late, twice, or of an earlier iteration: nothing; an earlier owner's is still good."""
        found = self._earlier(head, payload)
        if found is None:
            self._judged(attempt_id, Verdict.LATE)
            return []
        header, attempt, arrays = found
        with _about(attempt):
            return self._count(header, attempt, arrays, Verdict.EARLIER)

    def _earlier(self, head: bytes, payload: bytes) -> tuple[AnswerHeader, Attempt, Arrays] | None:
        """Return a valid answer that an earlier owner asked for, and this owner did not."""
        found = earlier_attempt(head, self._work)
        if found is None or not self._link.standing.accepts(found[0].fingerprint):
            return None
        try:
            arrays = read_arrays(payload, found[0], self._work, found[1])
        except AnswerInvalid:
            return None
        return (*found, arrays) if all_finite(arrays) else None

    def _judge(self, header: AnswerHeader, payload: bytes, attempt: Attempt) -> list[Command]:
        match header.status:
            case Status.MISSING:
                self._judged(attempt.id, Verdict.MISSING, header.worker)
                self._link.publish_missing(self._work, header.missing)
                return self._coordinator.missed(attempt, time.monotonic())
            case Status.FAILED:
                self._judged(attempt.id, Verdict.FAILED, header.worker)
                problem = f"worker {header.worker} reported {header.detail}"
                return self._coordinator.failed(attempt, header.worker, problem, time.monotonic())
            case Status.LEFT:
                self._judged(attempt.id, Verdict.LEFT, header.worker)
                return self._coordinator.left(attempt, time.monotonic())
        if header.status is Status.REFUSED or not self._link.standing.accepts(header.fingerprint):
            self._judged(attempt.id, Verdict.REFUSED, header.worker)
            self._link.refuse(self._watcher, header.worker, header.fingerprint)
            return self._coordinator.refused(attempt, time.monotonic())
        arrays = read_arrays(payload, header, self._work, attempt)
        if not all_finite(arrays):
            self._judged(attempt.id, Verdict.NOT_FINITE, header.worker)
            return self._coordinator.not_finite(attempt, header.worker, time.monotonic())
        return self._count(header, attempt, arrays, Verdict.COUNTED)

    def _judged(self, attempt_id: str, verdict: Verdict, worker: str | None = None) -> None:
        self._meter.judged(verdict)
        event = {"event": f"answer_{verdict}", "worker": worker}
        logger.debug("The answer to attempt %s: %s", attempt_id, verdict, extra=event)

    def _count(
        self, header: AnswerHeader, attempt: Attempt, arrays: Arrays, verdict: Verdict
    ) -> list[Command]:
        is_aside = header.worker in self._link.standing.aside
        self._judged(attempt.id, Verdict.ASIDE if is_aside else verdict, header.worker)
        found = {o.microbatch.index: o for o in outcomes(arrays, header, self._work, attempt)}
        answer = Answer(
            attempt=attempt,
            worker=header.worker,
            bits=_Bits(found),
            seconds=header.seconds,
            fingerprint=header.fingerprint,
        )
        self._outcomes |= {(answer, index): outcome for index, outcome in found.items()}
        held = self._coordinator.answered(answer, time.monotonic())
        crash_point(CrashPoint.ANSWER_COUNTED)
        return held


class _Bits(Mapping[int, str]):
    """The bits that two workers must agree on, by microbatch; computed only when compared."""

    def __init__(self, outcomes: Mapping[int, Outcome]) -> None:
        self._outcomes, self._known = outcomes, dict[int, str]()

    def __getitem__(self, microbatch: int) -> str:
        if microbatch not in self._known:
            self._known[microbatch] = _digest_of(self._outcomes[microbatch])
        return self._known[microbatch]

    def __iter__(self) -> Iterator[int]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)


def _digest_of(outcome: Outcome) -> str:
    values = {
        "losses": outcome.losses,
        "gradient_norms": outcome.gradient_norms,
        "predictions": outcome.predictions,
    }
    return digest(to_bytes(outcome.sums | values))


def _about(attempt: Attempt | None) -> AbstractContextManager[None]:
    """Name the shard and the attempt in the lines logged meanwhile."""
    if attempt is None:
        return nullcontext()
    return about(shard=attempt.shard.index, attempt=attempt.number)
