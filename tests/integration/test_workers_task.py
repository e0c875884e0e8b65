"""The task and what is around it, in this process: what counts as computed, and whose it is."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from contextlib import closing, nullcontext
from queue import Empty

import pytest
from celery.signals import task_postrun
from celery.worker import state
from kombu import Connection

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.networks.spec import GradientForm
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.wire.envelopes import QUEUE, entry, queue_name
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import PREFIX, QUEUE_KEY, RUNS_KEY, arrivals_key
from tapeworks.wire.log_context import context
from tapeworks.wire.signing import Purpose, Signer
from tapeworks.workers import tasks
from tapeworks.workers.app import app
from tests.faults.fuzzing.problem import (
    FINGERPRINT,
    NETWORK,
    Bench,
    Onlooker,
    at_work,
    benches,
    work,
)
from tests.support.entries import argument
from tests.support.kombu_url import for_kombu
from tests.support.messages import message

#: The queue of the bench's worker alone.
OWN = queue_name(FINGERPRINT)


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with benches() as made:
        yield made["unsigned"]


@pytest.fixture
def bench(made: Bench) -> Bench:
    made.link.begin("run", NETWORK, None, allow_mixed=False)
    made.link.join(Onlooker())
    return made


def test_an_answer_that_does_not_count_decides_no_fingerprint(bench: Bench) -> None:
    gathering = Gathering(bench.link, work(), Onlooker())
    with at_work(bench):
        gathering.turn()
        tasks.serve(argument(bench.last_entry()))
        bench.link.standing.quarantined.add(bench.worker.name)
        gathering.turn()
    assert not gathering.finished
    assert bench.link.standing.fingerprint is None
    bench.link.standing.quarantined.clear()


def test_an_arrival_without_its_answer_counts_nothing_and_leaves_the_shard_to_the_answer(
    bench: Bench,
) -> None:
    gathering = Gathering(bench.link, work(), Onlooker())
    gathering.start()
    entry = bench.last_entry()
    name = bench.exchange.open_message(argument(entry)).key.id
    bench.redis.rpush(arrivals_key("run"), name)
    finished = list[bool]()
    with at_work(bench):
        gathering.turn()
        finished.append(gathering.finished)
        tasks.serve(argument(entry))
        gathering.turn()
        finished.append(gathering.finished)
    assert finished == [False, True]
    assert gathering.attempts == 1


def test_images_that_were_refused_are_not_counted_as_computed(bench: Bench) -> None:
    with at_work(bench):
        for fingerprint, images in (("cd", 0), (None, 8)):
            standing = bench.link.standing
            standing.fingerprint, standing.is_firm = fingerprint, fingerprint is not None
            Gathering(bench.link, work(GradientForm.NOTHING), Onlooker()).turn()
            before = bench.worker.record().images
            tasks.serve(argument(bench.last_entry()))
            assert bench.worker.record().images - before == images


def test_a_worker_that_can_read_no_run_stays_away_from_the_queue_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a message of another key, and runs: one of that key, then one that we can read as well.
    pauses: list[float] = []
    monkeypatch.setattr("tapeworks.workers.tasks.time.sleep", pauses.append)
    monkeypatch.setattr("tapeworks.workers.tasks.LEAVE_SECONDS", 0.05)
    monkeypatch.setattr("tapeworks.workers.tasks.STRANGER_SECONDS", 5.0)
    bench.redis.delete(RUNS_KEY)
    stranger = Exchange(bench.exchange.url, Signer(b"s" * 32))
    sealed = stranger.signer.seal(Purpose.MESSAGE, message("run", 0).model_dump_json())
    stranger.announce_run("theirs", NETWORK)
    with at_work(bench):
        tasks.serve(sealed)
        bench.exchange.announce_run("ours", NETWORK)
        tasks.serve(sealed)
    assert pauses == [5.0, 0.05]


@pytest.fixture(autouse=True)
def unworn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many networks this process has compiled for other tests."""
    monkeypatch.setattr("tapeworks.workers.worker.Worker.is_worn", lambda _: False)


@pytest.fixture
def serving(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The arguments of the messages that are served, of which nothing is computed."""
    served: list[str] = []
    monkeypatch.setattr(tasks, "serve", served.append)
    monkeypatch.setattr("tapeworks.workers.app.this_worker", lambda: bench.worker)
    monkeypatch.setattr(tasks, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(tasks, "_queues", functools.cache(lambda: deque([QUEUE, OWN])))
    with at_work(bench):
        yield served
    bench.redis.delete(QUEUE_KEY, PREFIX + OWN)


def put(bench: Bench, queue: str, *entries: str | bytes) -> None:
    raw = [entry(one, queue) if isinstance(one, str) else one for one in entries]
    bench.redis.lpush(PREFIX + queue, *raw)


def left(bench: Bench) -> int:
    """Messages that nobody has taken."""
    return bench.exchange.queue_length([bench.worker.fingerprint])


def test_a_task_answers_what_waits_behind_its_message_and_passes_rubbish_over(
    bench: Bench, serving: list[str]
) -> None:
    put(bench, QUEUE, "second", b"rubbish", entry("elsewhere", "shards.elsewhere"), "third")
    before = bench.worker._taken
    tasks.compute_shard.run("first")
    assert serving == ["first", "second", "third"]
    assert left(bench) == 0
    assert bench.worker._taken - before == 2, "the watchdog sees what is passed over"


def test_a_task_takes_from_both_queues_though_one_is_never_empty(
    bench: Bench, serving: list[str]
) -> None:
    put(bench, QUEUE, *"abc")
    put(bench, OWN, *"xy")
    tasks.compute_shard.run("first")
    assert sorted(serving[1:4]) in (["a", "b", "x"], ["a", "x", "y"])


@pytest.mark.parametrize("told", [{"should_stop": 0}, {"should_stop": 5}, {"should_terminate": 1}])
def test_a_worker_that_is_told_to_end_takes_no_other_message(
    told: dict[str, int], bench: Bench, serving: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in told.items():
        monkeypatch.setattr(state, name, code)
    put(bench, QUEUE, "second")
    tasks.compute_shard.run("first")
    assert (serving, left(bench)) == (["first"], 1)


def test_a_worker_that_is_worn_takes_no_other_message(
    bench: Bench, serving: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.worker, "is_worn", lambda: True)
    put(bench, QUEUE, "second")
    tasks.compute_shard.run("first")
    assert (serving, left(bench)) == (["first"], 1)


def test_celery_goes_on_after_a_while_however_many_messages_come(
    bench: Bench, serving: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SERVING_SECONDS", 0.0)
    put(bench, QUEUE, "second")
    tasks.compute_shard.run("first")
    assert (serving, left(bench)) == (["first"], 1)


class Looks:
    """Notes what lines would be about whenever the next message is looked for, of which none is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
        self.about: list[dict[str, object]] = []
        monkeypatch.setattr(bench.exchange, "take_entry", self._look)

    def _look(self, *_: object) -> None:
        self.about.append(dict(context()))


def sealed(bench: Bench) -> str:
    """Return the argument of a message that can be answered."""
    Gathering(bench.link, work(), Onlooker()).turn()
    found = argument(bench.last_entry())
    assert found is not None
    return found


def test_lines_are_about_an_attempt_from_its_message_to_its_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, looks, answered = sealed(bench), Looks(monkeypatch, bench), list[dict[str, object]]()
    monkeypatch.setattr(bench.worker, "deliver", lambda *_: answered.append(dict(context())))
    with at_work(bench):
        tasks.compute_shard.run(message)
        left = dict(context())
    expected = {"run": "run", "term": 2, "iteration": 5, "shard": 0, "attempt": 1}
    assert answered == [expected | {"worker": bench.worker.name}]
    assert looks.about == [{}], "the next message is about something else"
    assert left == {}


def test_what_celery_says_of_a_task_that_failed_is_about_its_last_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    message = sealed(bench)
    monkeypatch.setattr(bench.worker, "deliver", fail)
    monkeypatch.setattr("tapeworks.workers.app.this_worker", lambda: bench.worker)
    with at_work(bench):
        with pytest.raises(ZeroDivisionError):
            tasks.compute_shard.run(message)
        assert context()["attempt"] == 1
        task_postrun.send(sender=None)
        assert context() == {}


def test_a_task_ends_when_redis_is_gone(
    bench: Bench, serving: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.worker, "exchange", Exchange("redis://127.0.0.1:1/0"))
    tasks.compute_shard.run("first")
    assert serving == ["first"]


def test_only_our_own_connections_drop_what_is_no_entry_of_ours() -> None:
    with RedisServer() as server:
        app.use_redis(server.url)
        for connection, is_ours in (
            (Connection(for_kombu(server.url)), False),
            (app.connection_for_write(), True),
        ):
            with connection, closing(connection.SimpleQueue("one")) as queue:
                queue.put("somebody's")
                with pytest.raises(Empty) if is_ours else nullcontext():
                    assert queue.get(timeout=1).payload == "somebody's"
