"""Connections across `fork`: none is ever used by two processes.

A child that wrote to its parent's socket would mix both processes' statements. SQLite knows of its
files' locks once per process, and a child would believe in locks that only its parent has. So the
child begins without connections, and a fork waits until no other thread is using an SQLite file.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tapeworks.storage.errors import ForkedInUse

#: Seconds that a fork waits for other threads' transactions: as long as a writer may wait for
#: another one, twice.
PATIENCE_SECONDS = 10.0


class Forked(Protocol):
    """An object that holds connections."""

    @property
    def guarded_file(self) -> str | None:
        """The SQLite file that they are to, if it is one."""

    def open_connections(self) -> int:
        """Return how many there are, in use or not."""

    def close(self) -> None:
        """Close those that are not in use."""

    def abandon(self) -> object:
        """Begin without connections; return the old ones, which are never to be closed here."""


class _Guard:
    """Knows who holds connections, and which threads are using SQLite files."""

    def __init__(self) -> None:
        self._holders: weakref.WeakSet[Forked] = weakref.WeakSet()
        self._abandoned: list[object] = []
        self._lost_files: set[str] = set()
        self._forget_uses()

    def add(self, holder: Forked) -> None:
        """Have the holder's connections closed before a fork, and abandoned after it."""
        with self._lock:
            self._holders.add(holder)

    @contextmanager
    def using(self, holder: Forked, address: str) -> Iterator[None]:
        """Keep other threads from forking meanwhile, if it is an SQLite file.

        Raises `ForkedInUse` where its connections came through a fork.
        """
        if holder.guarded_file is None:
            yield
            return
        use = threading.get_ident(), holder.guarded_file
        with self._lock:
            self._changed.wait_for(self._may_begin, PATIENCE_SECONDS)
            if holder.guarded_file in self._lost_files:
                raise ForkedInUse(address)
            self._uses[use] += 1
        try:
            yield
        finally:
            self._end(use)

    def before_fork(self) -> None:
        """Wait for the other threads, then keep them out until the fork is over."""
        self._lock.acquire()
        self._waiting_forks += 1
        self._changed.wait_for(self._is_alone, PATIENCE_SECONDS)
        self._waiting_forks -= 1
        for holder in list(self._holders):
            if holder.guarded_file:
                holder.close()

    def after_fork_in_parent(self) -> None:
        """Let the other threads go on."""
        self._changed.notify_all()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Leave to the parent what it has open."""
        self._lost_files.update(file for _, file in self._uses)
        self._forget_uses()
        for holder in list(self._holders):
            if holder.guarded_file and holder.open_connections():
                self._lost_files.add(holder.guarded_file)
            self._abandoned.append(holder.abandon())

    def _forget_uses(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        #: How often each thread is using each file.
        self._uses: Counter[tuple[int, str]] = Counter()
        self._waiting_forks = 0

    def _end(self, use: tuple[int, str]) -> None:
        with self._lock:
            self._uses -= Counter([use])  # one of none, which the child of a fork has, is none
            self._changed.notify_all()

    def _may_begin(self) -> bool:
        """Let nobody in before a fork that waits, or it would wait for ever; but let them end."""
        me = threading.get_ident()
        return not self._waiting_forks or any(thread == me for thread, _ in self._uses)

    def _is_alone(self) -> bool:
        return all(thread == threading.get_ident() for thread, _ in self._uses)


_guard: _Guard | None = None
_guard_lock = threading.Lock()


def guard() -> _Guard:
    """Return this process's guard, which sees every fork from the first call on."""
    global _guard
    with _guard_lock:
        if _guard is None:
            _guard = _Guard()
            os.register_at_fork(
                before=_guard.before_fork,
                after_in_parent=_guard.after_fork_in_parent,
                after_in_child=_guard.after_fork_in_child,
            )
        return _guard
