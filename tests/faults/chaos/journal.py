"""A journal, line by line in JSON: faults, recoveries, commits, runs, ends of processes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: One line.
Entry = dict[str, Any]


class Journal:
    """Written by the drill's threads; kept in a file and in memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self.entries: list[Entry] = []

    def write(self, event: str, at: float | None = None, **values: Any) -> Entry:
        """Note an event, now or at that moment of the wall clock (in seconds)."""
        now = time.time()
        entry = {"event": event, "at": at or now, "monotonic": time.monotonic(), **values}
        if at is not None:
            entry["monotonic"] -= now - at
        with self._lock:
            self.entries.append(entry)
            self._file.write(json.dumps(entry) + "\n")
        return entry

    def close(self) -> None:
        """Nothing is written any more."""
        self._file.close()


def read(path: Path) -> list[Entry]:
    """The entries of a file, in order of time."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted(map(json.loads, lines), key=at)


def at(entry: Entry) -> float:
    """Return when it happened, in seconds of the wall clock."""
    return float(entry["at"])


def of(entries: Iterable[Entry], event: str) -> list[Entry]:
    """The entries of one event."""
    return [entry for entry in entries if entry["event"] == event]
