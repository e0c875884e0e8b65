"""The choice of workers for a message, and their answers, on a real Redis with real workers."""

from __future__ import annotations

from scheduler.celery_dispatcher import CeleryDispatcher
from storage.history import History
from tests.support.entries import entry
from tests.support.fleet import Fleet
from tests.support.messages import answered, message
from tests.support.training import drive, settings, submitted
from workers import app as celery
from workers.keys import PREFIX, QUEUE_KEY, RUN_SECONDS, queue_key
from workers.messages import ShardMessage, Status

#: A fingerprint that no worker here has, and no run of another test.
FOREIGN = "f0" * 8


def test_a_worker_refuses_a_message_for_another_fingerprint(fleet: Fleet) -> None:
    def send_to_any(asked: ShardMessage) -> None:
        fleet.redis.lpush(QUEUE_KEY, entry(asked.model_dump_json()))

    asked = message("refused", iteration=3, fingerprint=FOREIGN)
    header = answered(fleet, asked, send_to_any)
    assert (header.status, header.fingerprint) == (Status.REFUSED, fleet.fingerprint())


def test_a_message_is_offered_to_workers_of_its_fingerprint_only(fleet: Fleet) -> None:
    """Otherwise each of many foreign workers takes it first, and the run waits for all of them."""
    celery.use_redis(fleet.redis_url)
    celery.send(message("elsewhere", iteration=3, fingerprint=FOREIGN))
    answered(fleet, message("here", 3, fleet.fingerprint()))
    answered(fleet, message("anywhere", 3, None))
    assert fleet.exchange.queue_length([FOREIGN]) == 1
    assert fleet.exchange.queue_length([fleet.fingerprint()]) == 0
    fleet.redis.delete(queue_key(FOREIGN))


def test_a_queue_lasts_no_longer_than_the_runs_that_use_it(fleet: Fleet) -> None:
    celery.use_redis(fleet.redis_url)
    celery.send(message("elsewhere", iteration=3, fingerprint=FOREIGN))
    fleet.exchange.keeps("elsewhere", FOREIGN)
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
