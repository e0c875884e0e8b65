"""Messages for workers, sent without a scheduler."""

from __future__ import annotations

from collections.abc import Callable

from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest
from tapeworks.wire.exchange import Exchange, Opening
from tapeworks.wire.keys import answer_key
from tapeworks.wire.messages import AnswerHeader, AttemptKey, ShardMessage, Status
from tests.support.fleet import Fleet
from tests.support.mischief import Tampering
from tests.support.waiting import until

#: An answer that no scheduler waits for.
HEADER = AnswerHeader(
    key=AttemptKey(run="no-run", term=1, iteration=0, shard=0, attempt=1),
    parameters_digest="",
    status=Status.DONE,
    worker="worker-1",
    fingerprint="abc",
    seconds=0.1,
)


def message(run_id: str, iteration: int, fingerprint: str | None = None) -> ShardMessage:
    """A message that a worker could answer, if it were not stale."""
    network = BuiltinNetwork()
    return ShardMessage(
        key=AttemptKey(run=run_id, term=1, iteration=iteration, shard=99, attempt=1),
        network=network,
        wanted=GradientForm.SUMMED,
        parameters_digest="0" * 64,
        chunk_images=256,
        chunks={0: "1" * 64},
        first_microbatch=0,
        images=tuple(range(8)),
        fingerprint=fingerprint,
    )


def announce(exchange: Exchange, run_id: str, term: int, iteration: int) -> None:
    """Let the run stand there, with parameters that nobody needs."""
    parameters = b"none"
    opening = Opening(
        run_id=run_id,
        term=term,
        iteration=iteration,
        parameters=parameters,
        parameters_digest=digest(parameters),
    )
    exchange.send([], opening)


def answered(
    fleet: Fleet, asked: ShardMessage, send: Callable[[ShardMessage], None] | None = None
) -> AnswerHeader:
    """Return a worker's answer to this message, which is not stale."""
    announce(fleet.exchange, asked.key.run, asked.key.term, asked.key.iteration)
    if send:
        send(asked)
    else:
        fleet.exchange.send([asked])
    exchange = Tampering(fleet.redis_url)
    until(lambda: fleet.redis.exists(answer_key(asked.key.id)), "a worker answers")
    answer = exchange.peek(asked.key.id)
    assert answer is not None
    fleet.exchange.forget_run(asked.key.run, asked.key.term)
    header, arrays = answer
    assert arrays == b""
    return AnswerHeader.model_validate_json(header)
