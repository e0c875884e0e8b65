"""The one task: a pure function of its message and of bytes that are named by their digest."""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from typing import Any

from celery.worker import state

from tapeworks.model.errors import NetworkNotAllowed
from tapeworks.wire.envelopes import TASK
from tapeworks.wire.errors import MessageUnreadable, RedisUnreachable, SignatureWrong
from tapeworks.wire.log_context import about_nothing, go_on_about
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status, checksum
from tapeworks.workers.app import app, this_worker
from tapeworks.workers.compute import Missing, shard_arrays
from tapeworks.workers.events import AttemptAnswered, AttemptComputed, AttemptDropped, AttemptTaken
from tapeworks.workers.sources import SourceGone
from tapeworks.workers.transport import extract_argument

logger = logging.getLogger(__name__)

#: Seconds after which a task that answers message after message gives way to Celery, and those that
#: it waits for the next one: a worker that is told to end notices then.
SERVING_SECONDS, WAIT_SECONDS = 1.0, 0.25

#: Seconds without a message after one that is for others, so that they find it in the queue.
LEAVE_SECONDS = 0.05

#: Likewise after a message that could not be read, if nothing of any run can: a worker with another
#: key or of another version, always idle, would take whatever there is from those who can compute.
STRANGER_SECONDS = 5.0


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def compute_shard(sealed: str) -> None:
    """Answer a message, and those that come behind it, for a moment.

    Handed over by Celery, each would cost half a millisecond more of processor time. Its loop looks
    after signals and its connection; it goes on once a second, and when nothing comes.
    """
    until = time.monotonic() + SERVING_SECONDS
    found: str | None = sealed
    while found is not None:
        serve(found)
        about_nothing()  # unless it has failed: then Celery's lines are about this attempt
        found = _next_message(until)


def _next_message(until: float) -> str | None:
    """Wait a moment for a message; none comes after that time, or to a worker that is to end."""
    while time.monotonic() < until and not _is_leaving():
        try:
            taken = this_worker().exchange.take_entry(_queues(), WAIT_SECONDS)
        except RedisUnreachable:  # Celery will meet it too, and connect again
            return None
        if taken is None:
            return None
        _queues().rotate()  # else one that is never empty would keep the other waiting
        if (found := extract_argument(*taken)) is not None:
            return found
    return None


@functools.cache
def _queues() -> deque[str]:
    """Names of the queues that Celery takes messages from."""
    return deque(app.amqp.queues.consume_from)


def _is_leaving() -> bool:
    told = (state.should_stop, state.should_terminate)  # an exit code, which may be 0
    return any(code is not None and code is not False for code in told) or this_worker().is_worn()


def serve(sealed: str) -> None:
    """Compute one attempt at one shard and write its answer to Redis."""
    this_worker().take()
    try:
        _serve(sealed)
    finally:
        this_worker().lay_down()


def _serve(sealed: str) -> None:
    """Open a message and answer it.

    What is not signed as it should be, or cannot be read, has no answer: its writer may have
    named any run. The scheduler sees by the worker's record that their keys differ.
    """
    try:
        shard = this_worker().exchange.open_message(sealed)
    except (SignatureWrong, MessageUnreadable) as error:
        _report_refused(str(error))
        time.sleep(STRANGER_SECONDS if _is_stranger() else LEAVE_SECONDS)
        return
    _log_about(shard)
    try:
        _answer(shard)
    except RedisUnreachable as error:  # the scheduler sends again what does not come back
        event = {"event": "answer_given_up"}
        logger.info("Attempt %s is given up: %s", shard.key.id, error, extra=event)


def _is_stranger() -> bool:
    try:
        return this_worker().exchange.reads_no_run()
    except RedisUnreachable:
        return False


@functools.cache
def _report_refused(reason: str) -> None:
    """Once for each reason: a warning for each message would let a forger fill the disk."""
    logger.warning(
        "A message is refused: %s Others like it will be refused silently.",
        reason,
        extra={"event": "message_refused"},
    )


def _answer(shard: ShardMessage) -> None:
    worker = this_worker()
    if not worker.payloads.begin(shard):
        worker.events(AttemptDropped(shard.key.id))
        return
    worker.events(AttemptTaken(shard.key.id))
    with worker.holding(shard):
        header, arrays = _attempt(shard)
    if header.status is Status.DONE:
        worker.count(shard, header.seconds)
        worker.events(AttemptComputed(shard.key.id, header.seconds))
    worker.deliver(header, arrays)
    worker.events(AttemptAnswered(shard.key.id, header.status))
    if header.status in {Status.REFUSED, Status.LEFT, Status.NOT_ALLOWED}:
        time.sleep(LEAVE_SECONDS)


def _attempt(shard: ShardMessage) -> tuple[AnswerHeader, bytes]:
    worker, began = this_worker(), time.perf_counter()
    outcome: dict[str, Any]
    arrays = b""
    if worker.name in shard.not_for:
        outcome = {"status": Status.LEFT}
    elif shard.fingerprint not in (None, worker.fingerprint):
        outcome = {"status": Status.REFUSED}
    else:
        try:
            worker.sources.admit(shard.network)
            arrays = shard_arrays(shard, worker.payloads.fetch)
            outcome = {"status": Status.DONE, "payload_checksum": checksum(arrays)}
        except NetworkNotAllowed as error:
            outcome = {"status": Status.NOT_ALLOWED, "detail": str(error)}
        except SourceGone as error:
            outcome = {"status": Status.MISSING, "missing": (error.digest,)}
        except Missing as error:
            outcome = {"status": Status.MISSING, "missing": error.digests}
        except RedisUnreachable:  # no fault of the shard
            raise
        except Exception as error:  # reported to the scheduler, which decides
            failed = {"event": "shard_failed"}
            logger.warning("Shard %s failed", shard.key.id, exc_info=True, extra=failed)
            outcome = {"status": Status.FAILED, "detail": _text(error)}
    return _header(shard, time.perf_counter() - began, outcome), arrays


def _log_about(shard: ShardMessage) -> None:
    """Name the attempt in every line from now on, until it is answered or the task has failed."""
    key = shard.key
    go_on_about(
        run=key.run,
        term=key.term,
        iteration=key.iteration,
        evaluation=key.evaluation or None,
        shard=key.shard,
        attempt=key.attempt,
        worker=this_worker().name,
    )


def _text(error: Exception) -> str:
    """Return an error in one line; a user's own may have no words that can be had."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001
        words = "its words cannot be read"
    return " ".join(f"{type(error).__name__}: {words}".replace("\0", "").split())[:4000].rstrip(".")


def _header(shard: ShardMessage, seconds: float, outcome: dict[str, Any]) -> AnswerHeader:
    worker = this_worker()
    return AnswerHeader(
        key=shard.key,
        parameters_digest=shard.parameters_digest,
        worker=worker.name,
        fingerprint=worker.fingerprint or "",
        seconds=seconds,
        **outcome,
    )
