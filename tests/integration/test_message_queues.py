"""The choice of workers for a message, and their answers, on a real Redis with real workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.wire.envelopes import entry
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import PREFIX, QUEUE_KEY, RUN_SECONDS, queue_key
from tapeworks.wire.messages import ShardMessage, Status
from tapeworks.workers.app import app
from tests.support.fleet import Fleet
from tests.support.kombu_url import for_kombu
from tests.support.messages import answered, message
from tests.support.processes import ROOT
from tests.support.training import drive, settings, submitted
from tests.support.waiting import until

#: A fingerprint that no worker here has, and no run of another test.
FOREIGN = "f0" * 8

#: Celery's own command line, with the app of a worker that knows nothing of ours.
PLAIN = [sys.executable, "-m", "celery", "-A", "tests.support.plain_worker", "worker"]


def test_a_worker_refuses_a_message_for_another_fingerprint(fleet: Fleet) -> None:
    def send_to_any(asked: ShardMessage) -> None:
        fleet.redis.lpush(QUEUE_KEY, entry(asked.model_dump_json()))

    asked = message("refused", iteration=3, fingerprint=FOREIGN)
    header = answered(fleet, asked, send_to_any)
    assert (header.status, header.fingerprint) == (Status.REFUSED, fleet.fingerprint())


def test_a_message_is_offered_to_workers_of_its_fingerprint_only(fleet: Fleet) -> None:
    """Otherwise each of many foreign workers takes it first, and the run waits for all of them."""
    fleet.exchange.send([message("elsewhere", iteration=3, fingerprint=FOREIGN)])
    answered(fleet, message("here", 3, fleet.fingerprint()))
    answered(fleet, message("anywhere", 3, None))
    assert fleet.exchange.queue_length([FOREIGN]) == 1
    assert fleet.exchange.queue_length([fleet.fingerprint()]) == 0
    fleet.redis.delete(queue_key(FOREIGN))


def test_a_queue_lasts_no_longer_than_the_runs_that_use_it(fleet: Fleet) -> None:
    fleet.exchange.send([message("elsewhere", iteration=3, fingerprint=FOREIGN)])
    fleet.exchange.survey("elsewhere", FOREIGN)
    assert 0 < fleet.redis.ttl(queue_key(FOREIGN)) <= RUN_SECONDS
    fleet.redis.delete(queue_key(FOREIGN))


def test_nobody_who_may_write_to_redis_can_lead_messages_to_another_queue(
    fleet: Fleet, history: History
) -> None:
    tables = [f"{PREFIX}{name}.shards" for name in ("_kombu.binding", "_kombu.binding_permanent")]
    for table in tables:
        for queue in (QUEUE_KEY, queue_key(fleet.fingerprint())):
            name = queue.removeprefix(PREFIX)
            fleet.redis.sadd(table, f"{name}\x06\x16\x06\x16shards.elsewhere")
    drive(history, CeleryDispatcher(fleet.redis_url), submitted(history, settings()))
    fleet.redis.delete(*tables)
    assert fleet.redis.llen(queue_key("elsewhere")) == 0


def test_a_worker_names_what_it_misses(fleet: Fleet) -> None:
    header = answered(fleet, message("missing", 3, fleet.fingerprint()))
    assert (header.status, header.missing) == (Status.MISSING, ("0" * 64, "1" * 64))


#: What kombu sends for each message if it keeps a list of those taken.
KEEPING_A_LIST = {"zadd", "hset", "zrem", "hdel", "watch", "zrange"}


def test_of_a_message_that_a_worker_takes_no_list_is_kept(fleet: Fleet) -> None:
    fleet.redis.config_resetstat()
    answered(fleet, message("listed", 3, fleet.fingerprint()))
    given = {name.removeprefix("cmdstat_") for name in fleet.redis.info("commandstats")}
    assert "brpop" in given
    assert not given & KEEPING_A_LIST


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own, at which there is no worker of ours."""
    with RedisServer() as server:
        yield server


def test_a_plain_celery_worker_takes_what_a_scheduler_sends(
    server: RedisServer, tmp_path: Path
) -> None:
    asked = message("plain", iteration=3)
    Exchange(server.url).send([asked])
    plain = subprocess.Popen(
        [*PLAIN, "--pool", "solo", "--without-gossip", "--without-mingle"],
        env=os.environ | {"PLAIN_WORKER_REDIS": for_kombu(server.url), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    noted = tmp_path / "noted"
    try:
        until(lambda: noted.exists() and noted.read_text(), "it has run the task")
    finally:
        plain.terminate()
        plain.wait()
    assert noted.read_text() == repr(((asked.model_dump_json(),), {}))


def test_a_worker_that_leaves_waits_for_no_message_any_more(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.use_redis(server.url)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        with app.amqp.TaskConsumer(channel), pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.01)  # it asks Redis for a message, for a second
        monkeypatch.setattr(channel, "_brpop_read", lambda: pytest.fail("It waits for a message."))
        channel.close()
