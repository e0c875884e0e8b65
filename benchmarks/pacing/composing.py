"""Commands that the product would send to Redis, as bytes to be sent later."""

from __future__ import annotations

from typing import Any

import redis
from redis.client import Pipeline

from workers.exchange import Exchange


class ComposingExchange(Exchange):
    """Composes what an `Exchange` writes in pipelines; sends nothing."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._redis = self._client = _ComposingClient(self._redis.connection_pool)

    def take(self) -> bytes:
        """Everything since the last time."""
        composed = self._client.composed
        taken = b"".join(composed)
        composed.clear()
        return taken


class _ComposingClient(redis.Redis):
    def __init__(self, connection_pool: Any) -> None:
        super().__init__(connection_pool=connection_pool)
        self._packing = connection_pool.make_connection()
        self.composed: list[bytes] = []

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        pipeline = super().pipeline(transaction, shard_hint)

        def compose(**_: Any) -> list[Any]:
            commands = [arguments for arguments, _ in pipeline.command_stack]
            if transaction:
                commands = [("MULTI",), *commands, ("EXEC",)]
            self.composed.extend(self._packing.pack_commands(commands))
            pipeline.reset()
            return []

        pipeline.execute = compose  # type: ignore[method-assign, assignment]
        return pipeline
