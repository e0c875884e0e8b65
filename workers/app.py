"""The Celery app and its settings. Light to import: TensorFlow is loaded by a worker's start only.

A worker by hand:
`celery -A tapeworks.workers.app worker --pool solo --concurrency 1 --without-gossip
--without-mingle`.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import kombu
from celery import Celery
from celery.loaders.app import AppLoader
from celery.signals import setup_logging, task_postrun, task_rejected, worker_init, worker_shutdown

from tapeworks.model.errors import ArithmeticUnsound, ExitCode, VariableUnreadable
from tapeworks.model.settings import Settings
from tapeworks.wire.addresses import redis_url
from tapeworks.wire.envelopes import QUEUE, queue_name
from tapeworks.wire.errors import (
    PasswordUnusable,
    RedisRefused,
    RedisUnreachable,
    SigningKeyUnusable,
)
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import PREFIX
from tapeworks.wire.log_context import about_nothing
from tapeworks.wire.redis_client import ANSWER_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS, connect
from tapeworks.wire.signing import signer
from tapeworks.workers.logs import log_settings, log_to_stderr

if TYPE_CHECKING:
    from tapeworks.workers.worker import Worker

logger = logging.getLogger(__name__)

#: Seconds between two attempts to reach a Redis that is away.
RECONNECT_SECONDS = 1.0

#: Celery's settings.
SETTINGS = {
    "task_ignore_result": True,  # answers are raw bytes under our own keys
    "task_default_queue": QUEUE,
    # The exchange without a name leads to the queue of that name. Others have a table in Redis,
    # which workers may write to: it could lead every message to a second queue, too.
    "task_default_exchange": "",
    "accept_content": ["json"],
    "worker_pool": "solo",
    "worker_concurrency": 1,
    "worker_prefetch_multiplier": 1,  # no hoarding behind a slow shard
    "worker_enable_remote_control": False,  # nothing to command, less to attack
    "worker_send_task_events": False,
    "worker_soft_shutdown_timeout": 10,
    "worker_hijack_root_logger": False,
    "broker_transport": "tapeworks.workers.transport:CheckingTransport",
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # for ever: Redis may be away for an hour
    "broker_transport_options": {
        "global_keyprefix": PREFIX,
        # A message that was taken is in no list: completeness rests on the scheduler, which sends
        # again what does not come back.
        "ack_emulation": False,
        "priority_steps": [0],  # one list for each queue
        "socket_timeout": ANSWER_TIMEOUT_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 5,
    },
}


class OwnLoader(AppLoader):  # type: ignore[misc]
    """Read no module that CELERY_CONFIG_MODULE or --config names, and none of the user's own."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:  # noqa: ARG002
        """Return nothing; the app is configured where it is made."""
        return {}

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> Any:
        """Import from where Python does; Celery would search the working directory first."""
        return (imp or self.import_module)(module, package=package)


class OwnApp(Celery):  # type: ignore[misc]
    """An app with the Redis that it is told to use, without results and without Django."""

    backend_cls = "disabled"

    def __init__(self, name: str, *, include: list[str]) -> None:
        super().__init__(
            name, loader=OwnLoader, fixups=set(), include=include, changes=dict(SETTINGS)
        )
        self.redis_url = ""  #: until `use_redis` or the first use of the configuration

    def on_configure(self) -> None:
        """Use the Redis that the environment names, unless `use_redis` has named another.

        Celery calls it, in its own commands too, which have nobody else to read the environment.
        """
        if not self.redis_url:
            with _report_to_celery():
                log_settings(Settings(os.environ))
                self.use_redis(redis_url(Settings(os.environ)))

    def use_redis(self, url: str) -> None:
        """Take messages from this Redis from now on. Raises `RedisUnreachable`."""
        connect(url)
        self.redis_url = url

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:  # noqa: ARG002
        """Return a connection to our Redis, whatever Celery takes for its address.

        Celery would look for a Redis that is away less and less often, at last every 30 seconds.
        """
        connection = super().connection_for_read(self._broker_url(), **options)
        often = {"interval_start": RECONNECT_SECONDS, "interval_max": RECONNECT_SECONDS}
        connection.ensure_connection = functools.partial(connection.ensure_connection, **often)
        return connection

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:  # noqa: ARG002
        """Return a connection to our Redis, whatever Celery takes for its address."""
        return super().connection_for_write(self._broker_url(), **options)

    def _broker_url(self) -> str:
        """Return the URL as kombu hands it on to our transport; a semicolon would part it."""
        self.on_configure()
        return self.redis_url.replace(";", "%3B")


class _WrongVariable(click.ClickException):
    exit_code = ExitCode.WRONG_USAGE


class _NoRedis(click.ClickException):
    exit_code = ExitCode.UNREACHABLE


@contextmanager
def _report_to_celery() -> Iterator[None]:
    """Turn what the environment has of no use into an error of Celery's command line."""
    try:
        yield
    except (PasswordUnusable, RedisUnreachable, VariableUnreadable) as error:
        kind = _NoRedis if isinstance(error, RedisUnreachable) else _WrongVariable
        raise kind(str(error)) from error


app = OwnApp("tapeworks", include=["tapeworks.workers.tasks"])


def _queue(fingerprint: str | None) -> kombu.Queue:
    """Declare the common queue, or one for some workers."""
    name = queue_name(fingerprint)
    return kombu.Queue(name, kombu.Exchange(""), routing_key=name)


@functools.cache
def this_worker() -> Worker:
    """The one worker of this process. Raises `SigningKeyUnusable` and `VariableUnreadable`."""
    from tapeworks.workers.worker import Worker  # which a scheduler does without

    return Worker(Exchange(app.redis_url, signer()))


@worker_init.connect  # type: ignore[untyped-decorator]
def _start_worker(**_: Any) -> None:
    try:
        this_worker().start()
        for kind in this_worker().queues[1:]:  # the common one is there
            app.amqp.queues.select_add(_queue(kind))
    except (ArithmeticUnsound, SigningKeyUnusable, VariableUnreadable) as error:
        logger.critical("This worker cannot start: %s", error)
        os._exit(ExitCode.WRONG_USAGE)
    except RedisRefused as error:
        logger.critical("This worker cannot start: %s", error)
        os._exit(ExitCode.UNREACHABLE)
    except Exception:  # Celery would swallow it and take messages all the same
        event = {"event": "worker_cannot_start"}
        logger.critical("This worker cannot start", exc_info=True, extra=event)
        os._exit(1)


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop_worker(**_: Any) -> None:
    this_worker().stop()


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end_task(**_: Any) -> None:
    about_nothing()
    if this_worker().is_worn():
        _leave()


def _leave() -> None:
    """End in order, with nothing in hand; the supervisor starts another worker at once."""
    from celery.worker import state

    from tapeworks.workers.supervisor import WORN

    event = {"event": "worker_leaves", "worker": this_worker().name}
    logger.info(
        "Worker %s leaves: it has compiled all it may hold", this_worker().name, extra=event
    )
    state.should_stop = WORN


@task_rejected.connect  # type: ignore[untyped-decorator]
def _pass_over(**_: Any) -> None:
    """Something was taken from the queue that is no message: this worker is not idle."""
    this_worker().take()
    this_worker().lay_down()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: Any) -> None:
    """A worker says what it has to say itself, and only problems unless it is asked for more."""
    if not logging.getLogger().handlers:  # started by Celery's own command
        log_to_stderr(log_settings(Settings(os.environ)))
