"""The task and what is around it, in this process: what counts as computed, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from queue import Empty

import pytest
from kombu import Connection

from scheduler.gathering import Gathering
from tapeworks.redis_server import RedisServer
from tests.fuzzing.problem import NETWORK, Bench, Onlooker, at_work, benches, work
from tests.support.entries import argument
from tests.support.messages import message
from workers import tasks
from workers.exchange import Exchange
from workers.keys import QUEUE_KEY, RUNS_KEY
from workers.messages import Wanted
from workers.redis_client import for_celery
from workers.signing import Purpose, Signer


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with benches() as made:
        yield made["unsigned"]


@pytest.fixture
def bench(made: Bench) -> Bench:
    made.link.begin("run", NETWORK, None, allow_mixed=False)
    made.link.join()
    return made


def test_an_answer_that_does_not_count_decides_no_fingerprint(bench: Bench) -> None:
    gathering = Gathering(bench.link, work(), Onlooker())
    with at_work(bench):
        gathering.turn()
        tasks.compute_shard(argument(bench.last_entry()))
        bench.link.standing.aside.add(bench.worker.name)
        gathering.turn()
    assert not gathering.finished
    assert bench.link.standing.fingerprint is None
    bench.link.standing.aside.clear()


def test_images_that_were_refused_are_not_counted_as_computed(bench: Bench) -> None:
    with at_work(bench):
        for fingerprint, images in (("cd", 0), (None, 8)):
            standing = bench.link.standing
            standing.fingerprint, standing.is_firm = fingerprint, fingerprint is not None
            Gathering(bench.link, work(Wanted.NOTHING), Onlooker()).turn()
            before = bench.worker.record().images
            tasks.compute_shard(argument(bench.last_entry()))
            assert bench.worker.record().images - before == images


def test_a_worker_that_can_read_no_run_stays_away_from_the_queue_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a message of another key, and runs: one of that key, then one that we can read as well.
    pauses: list[float] = []
    monkeypatch.setattr("workers.tasks.time.sleep", pauses.append)
    monkeypatch.setattr("workers.tasks.LEAVE_SECONDS", 0.05)
    monkeypatch.setattr("workers.tasks.STRANGER_SECONDS", 5.0)
    bench.redis.delete(RUNS_KEY)
    stranger = Exchange(bench.exchange.url, Signer(b"s" * 32))
    sealed = stranger.signer.seal(Purpose.MESSAGE, message("run", 0).model_dump_json())
    stranger.announce_run("theirs", NETWORK)
    with at_work(bench):
        tasks.compute_shard(sealed)
        bench.exchange.announce_run("ours", NETWORK)
        tasks.compute_shard(sealed)
    assert pauses == [5.0, 0.05]


def test_entries_of_other_programs_in_this_process_are_theirs() -> None:
    with RedisServer() as server, Connection(for_celery(server.url)[0]) as connection:
        with closing(connection.SimpleQueue("others")) as queue:
            queue.put("theirs")
            assert queue.get(timeout=5).payload == "theirs"
        with closing(connection.SimpleQueue(QUEUE_KEY)) as queue:
            queue.put("nobody's")
            with pytest.raises(Empty):
                queue.get(timeout=1)
