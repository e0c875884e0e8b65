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
from workers import tasks
from workers.keys import QUEUE_KEY
from workers.messages import Wanted


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
    assert bench.link.fingerprint is None
    bench.link.standing.aside.clear()


def test_images_that_were_refused_are_not_counted_as_computed(bench: Bench) -> None:
    with at_work(bench):
        for fingerprint, images in (("cd", 0), (None, 8)):
            bench.link.fingerprint = fingerprint
            Gathering(bench.link, work(Wanted.NOTHING), Onlooker()).turn()
            before = bench.worker.record().images
            tasks.compute_shard(argument(bench.last_entry()))
            assert bench.worker.record().images - before == images


def test_entries_of_other_programs_in_this_process_are_theirs() -> None:
    with RedisServer() as server, Connection(server.url) as connection:
        with closing(connection.SimpleQueue("others")) as queue:
            queue.put("theirs")
            assert queue.get(timeout=5).payload == "theirs"
        with closing(connection.SimpleQueue(QUEUE_KEY)) as queue:
            queue.put("nobody's")
            with pytest.raises(Empty):
                queue.get(timeout=1)
