"""Counts of writes and reads of keys, by Redis' own counts: MONITOR would slow everything down.

Redis counts accesses to each key for its eviction by frequency, exactly if it is told to; what it
would evict by them stays, since its memory has no limit. It reports each write to a subscriber.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import redis

#: Count every access, forget none, and report writes of strings.
SETTINGS = {
    "maxmemory-policy": "allkeys-lfu",
    "lfu-log-factor": "0",
    "lfu-decay-time": "0",
    "notify-keyspace-events": "K$",
}

#: The count that a new key has, and the largest one that there is.
OF_A_NEW_KEY, LARGEST_COUNT = 5, 255

#: Seconds without a report after which all are there.
QUIET_SECONDS = 0.1

_CHANNEL = "__keyspace@0__:"


class KeyAccesses:
    """Counts from entering on. Processes that want another policy must have started before."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._listener = client, client.pubsub()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        for name, value in SETTINGS.items():
            self._client.config_set(name, value)
        self._listener.psubscribe(f"{_CHANNEL}*")
        self._listener.get_message(timeout=None)  # the server has subscribed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._listener.close()

    def of(self, keys: Sequence[str]) -> tuple[list[int], list[int]]:
        """Count how often each of these strings, all there, was written, and how often read."""
        written = self._written()
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.object("FREQ", key)
            counts = pipe.execute()
        if max(counts) == LARGEST_COUNT:
            raise RuntimeError(f"Expected fewer than {LARGEST_COUNT} accesses to each key.")
        again = [written[key] - 1 for key in keys]  # to write a key again is an access, too
        read = [count - OF_A_NEW_KEY - times for count, times in zip(counts, again, strict=True)]
        return [written[key] for key in keys], read

    def _written(self) -> Counter[str]:
        found: Counter[str] = Counter()
        while message := self._listener.get_message(timeout=QUIET_SECONDS):
            if message["data"] == b"set":
                found[message["channel"].decode().removeprefix(_CHANNEL)] += 1
        return found
