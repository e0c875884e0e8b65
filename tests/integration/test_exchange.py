"""Bytes of Redis, read with suspicion: lengths, digests, and records of other versions."""

from __future__ import annotations

import pytest

from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest
from tapeworks.scheduler.core.sharding import split
from tapeworks.scheduler.dispatch.answers import longest_answer
from tapeworks.wire import registry
from tapeworks.wire.exchange import pack_answer
from tapeworks.wire.keys import (
    ANSWER_SECONDS,
    WORKERS_KEY,
    answer_key,
    arrivals_key,
    current_key,
    payload_key,
    worker_key,
)
from tapeworks.wire.limits import LARGEST_HEADER_BYTES, LARGEST_RECORD_BYTES, LONGEST_NAME
from tapeworks.wire.messages import AttemptKey, WorkerRecord
from tapeworks.wire.signing import SIGNATURE_DIGITS
from tests.support.answers import work
from tests.support.fleet import Fleet
from tests.support.messages import HEADER, message
from tests.support.mischief import Tampering

#: An attempt that no run has made.
ATTEMPT = "no-run.1.0.0.1"


@pytest.fixture
def exchange(shared_fleet: Fleet) -> Tampering:
    return Tampering(shared_fleet.redis_url)


def test_an_answer_is_taken_once(exchange: Tampering) -> None:
    exchange.put(ATTEMPT, (b"header", b"arrays"))
    answer = pack_answer(b"", b"header", b"arrays")
    assert list(exchange.take_answers({ATTEMPT: len(answer)})) == [(ATTEMPT, answer)]
    assert exchange.open_answer(answer) == (b"header", b"arrays")
    assert list(exchange.take_answers({ATTEMPT: len(answer)})) == [(ATTEMPT, None)]


def test_all_answers_that_have_arrived_are_taken_at_once(
    exchange: Tampering, shared_fleet: Fleet
) -> None:
    keys = [HEADER.key.model_copy(update={"shard": shard}) for shard in range(5)]
    names = [key.id for key in keys]
    for key in keys:
        exchange.answer(HEADER.model_copy(update={"key": key}), key.id.encode())
    assert exchange.arrivals("no-run", timeout_seconds=10) == names
    shared_fleet.redis.delete(answer_key(names[1]))
    shared_fleet.redis.delete(answer_key(names[2]))
    shared_fleet.redis.rpush(answer_key(names[2]), "no string")
    found = dict(exchange.take_answers(dict.fromkeys(names, 1000)))
    assert list(found) == names
    assert [name for name, answer in found.items() if answer is None] == names[1:3]
    assert not shared_fleet.redis.exists(*map(answer_key, names))


def test_an_answer_that_is_too_long_is_removed_unread(exchange: Tampering) -> None:
    exchange.put(ATTEMPT, (b"header", b"arrays"))
    most = len(pack_answer(b"", b"header", b"arrays")) - 1
    assert list(exchange.take_answers({ATTEMPT: most})) == [(ATTEMPT, b"")]
    assert exchange.peek(ATTEMPT) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no lines",
        b"\n",
        b"x" * (SIGNATURE_DIGITS + 1) + b"\nheader\narrays",
        b"\n" + bytes(LARGEST_HEADER_BYTES + 1) + b"\narrays",
    ],
)
def test_what_is_no_answer_has_no_parts(answer: bytes, exchange: Tampering) -> None:
    assert exchange.open_answer(answer) == (b"", b"")


def test_no_more_answers_are_taken_at_a_time_than_one_round_trip_may_bring(
    exchange: Tampering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LARGEST_READING_BYTES", 40)
    names = [f"no-run.1.0.{shard}.1" for shard in range(3)]
    for name in names:
        exchange.put(name, (b"header", b"arrays"))
    taking = exchange.take_answers(dict.fromkeys(names, 20))
    next(taking)
    assert exchange.peek(names[1]) is None
    assert exchange.peek(names[2]) is not None, "it lies there until it is its turn"
    assert all(answer for _, answer in taking)


def test_a_shard_s_longest_answer_is_no_longer_than_its_limit() -> None:
    asked, name = work(GradientForm.SUMMED), "\x01" * LONGEST_NAME
    [shard] = split(asked.images, asked.network.microbatch_size, 1)
    longest = HEADER.model_copy(
        update={
            "key": AttemptKey.model_construct(
                run=name, term=2**31, iteration=2**31, shard=2**31, attempt=2**31, evaluation=True
            ),
            "parameters_digest": name,
            "worker": name,
            "detail": "\x01" * 4000,
            "missing": ("0" * 64,) * (len(shard.images) + 1),
        }
    )
    head = longest.model_dump_json().encode()
    assert len(pack_answer(b"0" * SIGNATURE_DIGITS, head, b"")) <= longest_answer(asked, shard)


def test_an_answer_and_its_arrival_come_together_and_vanish_by_themselves(
    exchange: Tampering, shared_fleet: Fleet
) -> None:
    exchange.answer(HEADER, b"arrays")
    for key in (answer_key(ATTEMPT), arrivals_key("no-run")):
        assert 0 < shared_fleet.redis.ttl(key) <= ANSWER_SECONDS
    assert exchange.arrivals("no-run", timeout_seconds=10) == [ATTEMPT]
    assert not exchange.arrivals("no-run", timeout_seconds=0.01)
    exchange.drop_answers([ATTEMPT])
    assert exchange.peek(ATTEMPT) is None


def test_what_is_not_what_its_digest_says_counts_as_missing(
    exchange: Tampering, shared_fleet: Fleet
) -> None:
    exchange.publish(b"images", lifetime_seconds=60)
    assert exchange.fetch({digest(b"images"): 6}) == {digest(b"images"): b"images"}
    shared_fleet.redis.set(payload_key(digest(b"images")), b"imagez", ex=60)
    assert exchange.fetch({digest(b"images"): 6}) == {}


def test_a_worker_of_another_version_is_passed_over_and_a_dead_one_forgotten(
    exchange: Tampering, shared_fleet: Fleet
) -> None:
    right = WorkerRecord(name="w-right", host="h", pid=1, since="2026-01-01", state="idle")
    exchange.register_worker(right)
    shared_fleet.redis.set(worker_key("w-other"), b'{"name": "w-other", "pid": "one"}', ex=60)
    shared_fleet.redis.sadd(WORKERS_KEY, "w-other", "w-dead")
    names = {worker.name for worker in exchange.workers()}
    assert "w-right" in names
    assert not {"w-other", "w-dead"} & names
    assert not shared_fleet.redis.sismember(WORKERS_KEY, "w-dead")
    for name in ("w-right", "w-other"):
        exchange.deregister_worker(name)
    assert "w-right" not in {worker.name for worker in exchange.workers()}


def test_a_payload_longer_than_it_can_be_is_not_read(exchange: Tampering) -> None:
    exchange.publish(b"images!", lifetime_seconds=60)
    assert exchange.fetch({digest(b"images!"): 7}) == {digest(b"images!"): b"images!"}
    assert exchange.fetch({digest(b"images!"): 6}) == {}


def test_names_and_records_that_are_too_long_are_passed_over(
    exchange: Tampering, shared_fleet: Fleet
) -> None:
    long, name = "w" * (LONGEST_NAME + 1), "w-long"
    shared_fleet.redis.set(worker_key(name), b" " * LARGEST_RECORD_BYTES + b"{}", ex=60)
    shared_fleet.redis.sadd(WORKERS_KEY, long, name)
    assert not {long, name} & {worker.name for worker in exchange.workers()}
    shared_fleet.redis.srem(WORKERS_KEY, long)
    exchange.deregister_worker(name)
    shared_fleet.redis.rpush(arrivals_key("no-run"), long)
    assert not exchange.arrivals("no-run", timeout_seconds=10)


def test_of_too_many_names_some_are_looked_at(
    exchange: Tampering, shared_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MOST_WORKERS", 10)
    exchange.quarantine("no-run", map(str, range(1000)))
    assert len(exchange.read_quarantined("no-run")) == 10
    exchange.forget_run("no-run", 0)


@pytest.mark.parametrize(
    ("current", "stale"),
    [("1:0", False), ("1:1", True), ("2:0", True), ("rubbish", False), ("9" * 65 + ":1", False)],
)
def test_what_cannot_be_read_of_where_a_run_stands_stops_nobody(
    current: str, stale: bool, exchange: Tampering, shared_fleet: Fleet
) -> None:
    shared_fleet.redis.set(current_key("no-run"), current, ex=60)
    assert exchange.look(message("no-run", 0), {}) == (stale, {})
    shared_fleet.redis.delete(current_key("no-run"))
