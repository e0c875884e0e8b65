"""Commands that the product would send to Redis, as bytes to be sent later."""

from __future__ import annotations

from typing import Any

from tapeworks.wire.exchange import Exchange
from tapeworks.wire.redis_client import Line


class ComposingExchange(Exchange):
    """Composes what an `Exchange` writes; sends nothing."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._line = self._composing = _ComposingLine(self._redis)

    def take(self) -> bytes:
        """Everything since the last time."""
        return self._composing.take()


class _ComposingLine(Line):
    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._packing = client.connection_pool.make_connection()
        self._composed: list[bytes] = []

    def ask_each(self, *commands: tuple[Any, ...]) -> list[Any]:
        self._composed.extend(self._packing.pack_commands(commands))
        return [0] * len(commands)

    def take(self) -> bytes:
        """Everything since the last time."""
        taken = b"".join(self._composed)
        self._composed.clear()
        return taken
