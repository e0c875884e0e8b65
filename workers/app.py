"""The Celery app and its settings. Light to import: TensorFlow is loaded by a worker's start only.

A worker by hand: `celery -A workers.app worker --pool solo --concurrency 1`.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Any

import redis
from celery import Celery
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_shutdown,
)
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool, producers

from workers import broker
from workers.addresses import DEFAULT_URL, redis_url
from workers.errors import PasswordUnusable
from workers.exchange import PREFIX, QUEUE
from workers.messages import ShardMessage
from workers.redis_client import ANSWER_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, unreachable

logger = logging.getLogger(__name__)

#: The one task, by name, so that a scheduler can send it without loading TensorFlow.
TASK = "tapeworks.compute_shard"

#: A message that nobody took for so long is dropped; what is missing was sent again by then.
EXPIRES_SECONDS = 600


def _named_redis() -> str:
    """The environment's Redis. Celery's own command line has nobody else who would tell of errors.

    All others name a Redis with `use_redis`.
    """
    try:
        return redis_url(os.environ)
    except PasswordUnusable as error:
        if "celery.bin.celery" not in sys.modules:
            return DEFAULT_URL
        sys.stderr.write(f"celery: {error}\n")
        sys.exit(2)


broker.mend()

app = Celery("tapeworks", include=["workers.tasks"])
app.conf.update(
    broker_url=_named_redis(),
    result_backend=None,  # answers are raw bytes under our own keys
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_serializer="json",
    accept_content=["json"],
    # A message is taken off the queue when its answer is written: a worker that leaves in order
    # gives it back. Completeness does not rest on it, the scheduler sends again what is missing.
    task_acks_late=True,
    task_acks_on_failure_or_timeout=True,
    worker_pool="solo",
    worker_concurrency=1,
    worker_prefetch_multiplier=1,  # no hoarding behind a slow shard
    worker_enable_remote_control=False,  # nothing to command, less to attack
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # a late answer is still good
    worker_soft_shutdown_timeout=10,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: Redis may be away for an hour
    broker_transport_options={
        "global_keyprefix": PREFIX,
        "visibility_timeout": 60,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": ANSWER_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "max_retries": 0,  # of connecting, when a message is sent
    },
    # Fail fast; the scheduler's own loop tries again.
    task_publish_retry=False,
)


def use_redis(url: str) -> None:
    """Send and take messages at this Redis from now on."""
    app.conf.broker_url = url


def send(message: ShardMessage) -> None:
    """Put a shard's message on the queue. After `RedisUnreachable` it may be there or not."""
    try:
        with _producers(app.conf.broker_url).acquire(block=True) as producer:
            app.send_task(
                TASK,
                args=[message.model_dump(mode="json")],
                queue=QUEUE,
                expires=EXPIRES_SECONDS,
                argsrepr="",  # Celery would spell out every number of the message for its logs
                producer=producer,
            )
    except OperationalError as error:  # kombu's, around redis-py's
        raise unreachable(app.conf.broker_url, error.__cause__ or error) from error
    except (redis.RedisError, OSError) as error:
        raise unreachable(app.conf.broker_url, error) from error


@functools.cache
def _producers(url: str) -> ProducerPool:
    """Celery's own pool would stay with the first Redis that a message was sent to."""
    return producers[app.connection_for_write(url)]


@worker_init.connect  # type: ignore[untyped-decorator]
def _start_worker(**_: Any) -> None:
    from workers.process import this_worker

    try:
        this_worker().start()
    except Exception:  # Celery would swallow it and take messages all the same
        logger.critical("This worker cannot start", exc_info=True)
        os._exit(1)


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop_worker(**_: Any) -> None:
    from workers.process import this_worker

    this_worker().stop()


@task_prerun.connect  # type: ignore[untyped-decorator]
def _take(**_: Any) -> None:
    from workers.process import this_worker

    this_worker().take()


@task_postrun.connect  # type: ignore[untyped-decorator]
def _lay_down(**_: Any) -> None:
    from workers.process import this_worker

    this_worker().lay_down()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: Any) -> None:
    """Leave logging as it is: a worker says what it has to say itself, and only problems."""
