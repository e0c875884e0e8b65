"""Celery's Redis transport, which trusts no entry of the queue and keeps no list of those taken."""

from __future__ import annotations

import functools
import logging
from typing import Any

from celery.signals import task_rejected
from kombu.transport import redis

from tapeworks.wire.addresses import without_password
from tapeworks.wire.envelopes import argument
from tapeworks.wire.keys import PREFIX
from tapeworks.wire.redis_client import connection_options

logger = logging.getLogger(__name__)


class CheckingChannel(redis.Channel):  # type: ignore[misc]
    """Hands on what is an entry of ours. Anything else would end the worker, or command it."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        """Connect as every other client of ours does; Celery reads URLs in ways of its own."""
        options = connection_options(self.connection.client.hostname)
        self.connection_class = options.pop("connection_class")
        own = super()._connparams(asynchronous)  # with the class made fit for the event loop
        if "path" in options:
            del own["socket_keepalive"], own["socket_keepalive_options"]
        return own | options

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        client.set_response_callback("BRPOP", _check_entry)
        return client

    def close(self) -> None:
        """Wait for no message any more. kombu would, for a second, and then put it back changed."""
        if self._in_poll:
            self.client.connection.disconnect()
        super().close()


def _check_entry(popped: list[bytes] | None, **_: Any) -> tuple[bytes, bytes] | None:
    """Queue and entry; None, as if the queue were empty, for an entry that is dropped."""
    if not popped:
        return None
    key, entry = popped
    return (key, entry) if extract_argument(key, entry) is not None else None


def extract_argument(key: bytes, entry: bytes) -> str | None:
    """Return the argument of an entry out of the queue with this key; None if it is dropped."""
    found = argument(entry, key.removeprefix(PREFIX.encode()).decode())
    if found is None:
        _report_dropped()
        task_rejected.send(sender=None, message=None, exc=None)
    return found


@functools.cache
def _report_dropped() -> None:
    """Once: a warning for each would let a forger fill the disk."""
    logger.warning(
        "An entry of the queue is dropped: it is no message of a scheduler of this version. "
        "Others like it will be dropped silently."
    )


class CheckingTransport(redis.Transport):  # type: ignore[misc]
    """Takes the URL of Redis as people write it."""

    Channel = CheckingChannel
    can_parse_url = True

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "") -> str:  # noqa: ARG002
        """Return the URL; Flower alone, which connects by it, asks for its password as well."""
        return uri if include_password else without_password(uri)
