"""The users who submit, change and delete runs, as their machines tell: names, and no proof."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: Characters of a name that are kept.
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Actor:
    """A user on a host."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user} on {self.host}"


#: The one for whom this thread or task acts, if it is not the user of this process.
_ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


def current_actor() -> Actor:
    """The user who acts now: the one for whom `acting` was called, else that of this process."""
    return _ACTOR.get() or own_actor()


def own_actor() -> Actor:
    """The user of this process; one without a name, as in a container, by the number."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = ""
    return Actor(clean_name(user) or f"user {os.geteuid()}", clean_name(socket.gethostname()))


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Act for another user meanwhile."""
    token = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(token)


def clean_name(text: str) -> str:
    """Return the beginning of a name on one line: no control character, no surrogate."""
    kept = "".join(one for one in text if one.isprintable())
    return kept[:LONGEST_NAME].strip()
