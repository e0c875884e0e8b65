"""The rights of a Redis user, found by trying, on keys that nobody has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

import redis

from tapeworks.errors import UsageError
from tapeworks.wire import keys
from tapeworks.wire.addresses import REDIS
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.redis_client import connect, translate_errors

#: What to do when a command's user has the rights of another role.
_REMEDIES = {
    "train": f"Unset {REDIS.url_variable} to train with a private Redis, add --workers 0 to "
    "compute in this process, or queue the run with: tapeworks submit",
    "scheduler": f"Name the scheduler's user and password in {REDIS.url_variable} and "
    f"{REDIS.file_variable}.",
    "worker": f"Name the worker's user and password in {REDIS.url_variable} and "
    f"{REDIS.file_variable}.",
}

#: Commands that belong together, each with its key and what else it is told.
Try = Sequence[tuple[Any, ...]]


#: Those whose rights can be told.
ROLES = ("scheduler", "worker")


def missing_rights(
    client: redis.Redis, url: str, roles: Sequence[str] = ROLES
) -> dict[str, list[str]]:
    """Return, for each of these roles, the commands that this user may not give.

    They are tried: a user of few rights may not ask for them. Redis logs each refusal.
    """
    tries = {"scheduler": _scheduler_tries, "worker": _worker_tries}
    return {role: _find_refused(client, url, tries[role]()) for role in roles}


def user_of(url: str) -> str:
    """Return the user that this URL logs in as."""
    return unquote(urlsplit(url).username or "") or "default"


def check_roles(url: str, command: str, *roles: str) -> None:
    """Raise `UsageError` unless this user may do what each of these roles has to."""
    with closing(connect(url)) as client:
        missing = missing_rights(client, url, roles)
    lacking = [role for role, refused in missing.items() if refused]
    if lacking:
        does = " and of a ".join(roles)
        raise UsageError(
            f"`tapeworks {command}` does the work of a {does}, and the Redis user {user_of(url)} "
            f"may not do that of a {' and of a '.join(lacking)}. {_REMEDIES[command]}"
        )


def _find_refused(client: redis.Redis, url: str, tries: Sequence[Try]) -> list[str]:
    """The commands, with the kind of key, that this user may not give."""
    return [_name(commands) for commands in tries if not _is_allowed(client, url, commands)]


def _is_allowed(client: redis.Redis, url: str, commands: Try) -> bool:
    """In a transaction: of commands that are not all allowed none is carried out."""
    try:
        with translate_errors(url), client.pipeline() as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            pipe.execute()
    except RedisUnreachable as error:
        if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
            return False
        if isinstance(error.__cause__, redis.exceptions.OutOfMemoryError):
            return True  # rights are looked at first; runs wait for room
        raise
    return True


def _name(commands: Try) -> str:
    kind = str(commands[0][1]).replace(_nobody(), "").rstrip(":.")
    return f"{' and '.join(str(command[0]) for command in commands)} {kind}"


def _nobody() -> str:
    return f"doctor-{os.getpid()}"


def _scheduler_tries() -> list[Try]:
    """A few of its commands on each kind of key; what they leave behind lasts a second."""
    name = _nobody()
    return [
        [("SET", keys.payload_key(name), "", "EX", 1), ("EXPIRE", keys.payload_key(name), 1)],
        [("SET", keys.current_key(name), "0:0", "EX", 1)],
        [("SET", keys.in_progress_key(name), 1, "EX", 1)],
        [("SREM", keys.RUNS_KEY, name)],
        [("SMEMBERS", keys.WORKERS_KEY)],
        [("MGET", keys.worker_key(name))],
        [("BLPOP", keys.arrivals_key(name), 0.01)],
        [("GETRANGE", keys.answer_key(name), 0, 1), ("UNLINK", keys.answer_key(name))],
        [("LPUSH", keys.queue_key(name), ""), ("EXPIRE", keys.queue_key(name), 1)],
        [("SET", keys.scheduler_key(name), "", "EX", 1)],
        [("DEL", keys.scheduler_key(name))],
    ]


def _worker_tries() -> list[Try]:
    """Likewise a worker's."""
    name = _nobody()
    answer, arrivals = keys.answer_key(name), keys.arrivals_key(name)
    return [
        [("GET", keys.payload_key(name))],
        [("GET", keys.current_key(name))],
        [("SMEMBERS", keys.RUNS_KEY)],
        [("LLEN", keys.QUEUE_KEY)],
        [("SET", answer, "", "EX", 1)],
        [("RPUSH", arrivals, name), ("EXPIRE", arrivals, 1)],
        [("SET", keys.worker_key(name), "", "EX", 1)],
        [("DEL", keys.worker_key(name))],
        [("SREM", keys.WORKERS_KEY, name)],
    ]
