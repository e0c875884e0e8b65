"""One iteration's shards through Redis: the coordinator's driver."""

from __future__ import annotations

import random
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from pydantic import ValidationError

from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, all_finite, digest, to_bytes
from tapeworks.model.reduction import Reduction
from tapeworks.scheduler.core.coordinator import Coordinator
from tapeworks.scheduler.core.decisions import (
    Answer,
    Attempt,
    Command,
    Count,
    Diverged,
    GiveUp,
    Pause,
    Quarantine,
    Reason,
    Send,
    StartOver,
    Tell,
    Withdraw,
)
from tapeworks.scheduler.core.sharding import Shard, shard_count, split
from tapeworks.scheduler.dispatch.answers import (
    fewest_shards,
    longest_answer,
    outcome_of,
    read_arrays,
    read_header,
    sums_of,
    worker_of,
)
from tapeworks.scheduler.dispatch.contract import Outcome, Result, Watcher, Work
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.errors import (
    AnswerInvalid,
    RunFailed,
    SchedulerError,
    Undecided,
    divergence_error,
)
from tapeworks.scheduler.events import (
    AnswerJudged,
    AttemptSent,
    IterationAnnounced,
    Notice,
    ShardsOutstanding,
    Verdict,
)
from tapeworks.wire.errors import SignatureWrong
from tapeworks.wire.limits import MOST_WORKERS
from tapeworks.wire.log_context import about
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status

#: The longest wait for an arrival, in seconds; between two waits the lease is renewed.
ARRIVAL_SECONDS = 0.5
SHORTEST_WAIT_SECONDS = 0.01

#: Which shards are audited is nobody's guess.
CHANCE = random.SystemRandom()


class Gathering:
    """The Celery side of one `Work`."""

    def __init__(self, link: Link, work: Work, watcher: Watcher) -> None:
        self._link, self.work, self._watcher = link, work, watcher
        pace = link.standing.pace
        count = shard_count(work.shards, work.microbatches, link.workers, pace)
        count = min(max(count, fewest_shards(work)), work.microbatches)
        shards = split(work.images, work.network.microbatch_size, count)
        audited = [shard.index for shard in shards if CHANCE.random() < work.audit]
        is_audited = work.audit > 0
        self._coordinator = Coordinator(
            shards, link.standing, self._name, audited, is_audited=is_audited
        )
        #: By shard: outcomes and sums of the answers that came and are not counted.
        self._uncounted = defaultdict[int, dict[Answer, tuple[Outcome, Arrays]]](dict)
        self._outcomes: dict[int, Outcome] = {}  # of counted shards
        self._reduction = Reduction()
        self._commands: deque[Command] = deque()
        self._is_open = False  #: Redis knows the iteration and its parameters
        self._left_at: float | None = None  # by `start`, until `turn` has caught up
        self.shards = count

    @property
    def finished(self) -> bool:
        """True once every shard is counted and all that follows from it is done."""
        return self._coordinator.finished and not self._commands

    @property
    def is_waiting(self) -> bool:
        """True while nothing can go on until another worker comes or those that are here agree."""
        return self._coordinator.is_waiting

    @property
    def attempts(self) -> int:
        """Messages sent so far."""
        return self._coordinator.sent

    def result(self) -> Result:
        """Return a finished work's outcomes and sums; the fingerprint behind them stays."""
        self._link.standing.confirm()
        is_summed = self.work.wanted is not GradientForm.NOTHING
        return Result(
            outcomes=[outcome for _, outcome in sorted(self._outcomes.items())],
            sums=self._reduction.total(self.work.microbatches) if is_summed else {},
        )

    def start(self) -> None:
        """Send what is due and leave; what comes back is judged by `turn`, when that is called."""
        self._send_due()
        self._left_at = time.monotonic()

    def turn(self) -> None:
        """Send what is due, then wait a moment for an answer and judge it."""
        self._catch_up()
        self._send_due()
        if not self.finished:
            now = time.monotonic()
            self._take_arrived(self._wait_seconds(self._coordinator.next_wake(now)))

    def _catch_up(self) -> None:
        """Judge what came while nobody looked, if anything would count as overdue otherwise."""
        if self._left_at is None:
            return
        if self._coordinator.next_wake(self._left_at) <= time.monotonic():
            for _ in range(self._coordinator.out):
                if self.finished or not self._take_arrived(SHORTEST_WAIT_SECONDS):
                    break
        self._left_at = None

    def _send_due(self) -> None:
        if self._link.survey_workers(self.work.run_id, self._watcher) and self._is_open:
            self.send_again()
        if not self._is_open:
            self._link.prepare(self.work, self._watcher)
        link, now = self._link, time.monotonic()
        seen = link.living, link.runs, link.queue_length, link.in_hand
        self._coordinator.saw_workers(*seen, now)
        self._do(self._coordinator.woke(now))
        if not self._is_open:
            self._send([])
        self._watcher.events(ShardsOutstanding(self._coordinator.out))

    def _take_arrived(self, seconds: float) -> bool:
        """Judge the answers that have arrived; return whether one came in that time."""
        exchange = self._link.exchange
        arrived = exchange.arrivals(self.work.run_id, seconds)
        if arrived:
            limits = {
                attempt_id: longest_answer(self.work, attempt.shard)
                for attempt_id in arrived
                if (attempt := self._coordinator.attempt(attempt_id))
            }
            self._drop([attempt_id for attempt_id in arrived if attempt_id not in limits])
            for attempt_id, answer in exchange.take_answers(limits):
                attempt = self._coordinator.attempt(attempt_id)
                with _about(attempt):
                    self._do(self._take(attempt_id, attempt, answer))
        return bool(arrived)

    def send_again(self) -> None:
        """Redis failed: what was sent may be lost, and what was published too. Counts stay."""
        self._is_open = False
        self._link.forget_published()
        self._commands = deque(c for c in self._commands if not isinstance(c, Send))
        self._coordinator.requeue_all(Reason.REDIS_FAILED)

    def _wait_seconds(self, until: float) -> float:
        return min(ARRIVAL_SECONDS, max(SHORTEST_WAIT_SECONDS, until - time.monotonic()))

    def _name(self, shard: Shard, number: int) -> str:
        return self.work.key(shard.index, number).id

    # Commands out

    def _do(self, commands: Iterable[Command]) -> None:
        """Carry them out in order; those that Redis' failure leaves over come first next time."""
        self._commands.extend(commands)
        while self._commands:
            sends = list(_leading_sends(self._commands))
            if sends:
                self._send(sends)
            else:
                self._carry_out(self._commands[0])
            for _ in range(len(sends) or 1):
                self._commands.popleft()
            self._watcher.tick()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Tell():
                self._watcher.events(Notice(command.kind, command.message, command.worker))
            case Quarantine():
                self._link.exchange.quarantine(self.work.run_id, [command.worker])
            case Withdraw():
                self._link.exchange.withdraw(command.attempts)
            case Count() | StartOver():
                self._add_up(command)
            case GiveUp() | Pause() | Diverged():
                raise self._ending(command)

    def _add_up(self, command: Count | StartOver) -> None:
        match command:
            case Count(answer=answer):
                shard = answer.attempt.shard
                outcome, sums = self._uncounted.pop(shard.index)[answer]
                self._outcomes[shard.index] = outcome
                if sums:
                    self._reduction.add(shard.first_microbatch, shard.microbatches, sums)
            case StartOver():
                self._outcomes.clear()
                self._uncounted.clear()
                self._reduction = Reduction()

    def _ending(self, command: GiveUp | Pause | Diverged) -> SchedulerError:
        match command:
            case GiveUp():
                return RunFailed(
                    f"Shard {command.shard} of iteration {self.work.iteration} failed "
                    f"{command.failures} times; at last {command.problem}."
                )
            case Pause():
                return Undecided(f"In iteration {self.work.iteration} {command.reason}")
            case Diverged():
                return divergence_error(self.work.iteration)

    def _send(self, sends: Sequence[Send]) -> None:
        """Put attempts on the queue in one round trip, the first with all that they rest on."""
        for command in sends:
            self._report_repetition(command)
        messages = [self._message(command.attempt) for command in sends]
        self._link.send(self.work, messages, is_first=not self._is_open)
        if not self._is_open:
            self._is_open = True
            self._watcher.events(IterationAnnounced(self.work.run_id, self.work.iteration))
        for command in sends:
            attempt = command.attempt
            key = self.work.key(attempt.shard.index, attempt.number)
            self._watcher.events(AttemptSent(key, command.reason))

    def _report_repetition(self, command: Send) -> None:
        if command.reason.is_told:
            attempt = command.attempt
            with _about(attempt):
                message = (
                    f"Shard {attempt.shard.index} of iteration {self.work.iteration} sent again, "
                    f"attempt {attempt.number}: {command.reason}."
                )
                self._watcher.events(Notice("sent_again", message))

    def _message(self, attempt: Attempt) -> ShardMessage:
        work, shard = self.work, attempt.shard
        chunks = self._link.chunks(work.data)
        try:
            return ShardMessage(
                key=work.key(shard.index, attempt.number),
                network=work.network,
                wanted=work.wanted,
                parameters_digest=work.parameters_digest,
                chunk_images=chunks.chunk_images,
                chunks=chunks.find_needed(shard.images),
                first_microbatch=shard.first_microbatch,
                images=tuple(shard.images.tolist()),
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

    def _drop(self, attempts: Collection[str]) -> None:
        """Late, twice, of an earlier iteration or to an earlier owner: nobody waits for them."""
        if attempts:
            self._link.exchange.drop_answers(attempts)
        for attempt_id in attempts:
            self._report_verdict(attempt_id, Verdict.LATE)

    def _take(
        self, attempt_id: str, attempt: Attempt | None, answer: bytes | None
    ) -> list[Command]:
        if attempt is None or answer is None:
            self._report_verdict(attempt_id, Verdict.LATE if attempt is None else Verdict.GONE)
            return []
        try:
            header, arrays = self._link.exchange.open_answer(answer)
        except SignatureWrong as error:
            self._link.report_forgery(self._watcher, attempt_id, error)
            self._report_verdict(attempt_id, Verdict.FORGED)
            return []  # not even a strike: anybody may have named that worker
        try:
            return self._judge(read_header(header, self.work, attempt), arrays, attempt)
        except AnswerInvalid as error:
            worker = worker_of(header)
            self._report_verdict(attempt_id, Verdict.INVALID, worker)
            return self._coordinator.invalid(attempt, worker, str(error), time.monotonic())

    def _judge(self, header: AnswerHeader, payload: bytes, attempt: Attempt) -> list[Command]:
        match header.status:
            case Status.MISSING:
                self._report_verdict(attempt.id, Verdict.MISSING, header.worker)
                self._link.publish_missing(self.work, header.missing)
                return self._coordinator.record_missing_payload(attempt, time.monotonic())
            case Status.FAILED:
                self._report_verdict(attempt.id, Verdict.FAILED, header.worker)
                problem = f"worker {header.worker} reported {header.detail}"
                return self._coordinator.record_failure(
                    attempt, header.worker, problem, time.monotonic()
                )
            case Status.LEFT:
                self._report_verdict(attempt.id, Verdict.LEFT, header.worker)
                return self._coordinator.record_no_result(attempt, time.monotonic())
            case Status.NOT_ALLOWED:
                return self._leave_out(header, attempt)
        if header.status is Status.REFUSED or not self._link.standing.accepts(header.fingerprint):
            self._report_verdict(attempt.id, Verdict.REFUSED, header.worker)
            self._link.refuse(self._watcher, header.worker, header.fingerprint)
            return self._coordinator.record_refusal(attempt, time.monotonic())
        arrays = read_arrays(payload, header, self.work, attempt)
        if not all_finite(arrays):
            self._report_verdict(attempt.id, Verdict.NOT_FINITE, header.worker)
            return self._coordinator.not_finite(attempt, header.worker, time.monotonic())
        return self._vote(header, attempt, arrays)

    def _leave_out(self, header: AnswerHeader, attempt: Attempt) -> list[Command]:
        """A worker may not run the network. Raises `AnswerInvalid` where it is not a user's."""
        if self.work.network.digest is None:
            raise AnswerInvalid("expected a user's network to be refused, received the built-in")
        self._report_verdict(attempt.id, Verdict.NOT_ALLOWED, header.worker)
        worker, title = header.worker, self.work.network.title
        problem = header.detail or f"Worker {worker} may not run {title}."
        return self._coordinator.record_not_allowed(attempt, worker, problem, time.monotonic())

    def _report_verdict(self, attempt_id: str, verdict: Verdict, worker: str | None = None) -> None:
        self._watcher.events(AnswerJudged(attempt_id, verdict, worker))

    def _vote(self, header: AnswerHeader, attempt: Attempt, arrays: Arrays) -> list[Command]:
        is_quarantined = header.worker in self._link.standing.quarantined
        verdict = Verdict.QUARANTINED if is_quarantined else Verdict.VALID
        self._report_verdict(attempt.id, verdict, header.worker)
        needs_bits = self._coordinator.needs_bits(attempt)
        answer = Answer(
            attempt=attempt,
            worker=header.worker,
            seconds=header.seconds,
            fingerprint=header.fingerprint,
            bits=digest(to_bytes(arrays)) if needs_bits else "",
        )
        found = (
            outcome_of(arrays, header, self.work, attempt),
            sums_of(arrays, self.work, attempt.shard),
        )
        commands = self._coordinator.record_answer(answer, self._came_at(attempt, header.seconds))
        if self._coordinator.holds(answer):
            self._uncounted[attempt.shard.index][answer] = found
        return commands

    def _came_at(self, attempt: Attempt, seconds: float) -> float:
        """Return when an answer came, as far as can be told of one that lay there unread."""
        now = time.monotonic()
        if self._left_at is None:
            return now
        return min(max(attempt.sent_at + seconds, self._left_at), now)


def _leading_sends(commands: Iterable[Command]) -> Iterator[Send]:
    for command in commands:
        if not isinstance(command, Send):
            return
        yield command


def _about(attempt: Attempt | None) -> AbstractContextManager[None]:
    """Name the shard and the attempt in the lines logged meanwhile."""
    if attempt is None:
        return nullcontext()
    return about(shard=attempt.shard.index, attempt=attempt.number)
