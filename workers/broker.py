"""Celery's Redis transport, mended where a lost connection would stop a worker from consuming."""

from __future__ import annotations

from kombu.transport import redis


class ReleasingQoS(redis.QoS):  # type: ignore[misc]
    """Lays a message down even if Redis cannot be told so.

    kombu would keep it in hand for ever: with one message at a time, the worker would take no
    other, and so never notice that its connection is gone.
    """

    def ack(self, delivery_tag: str) -> None:
        """Take the message off Redis' list of unacknowledged ones, and off this worker's hands."""
        try:
            super().ack(delivery_tag)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


def mend() -> None:
    """Let every connection of this process use it."""
    redis.Channel.QoS = ReleasingQoS
