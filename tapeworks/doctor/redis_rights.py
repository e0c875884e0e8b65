"""What this user may do at Redis: found by trying, on keys that nobody has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import redis

from tapeworks.doctor.findings import Finding, ok, problem
from tapeworks.errors import ExitCode
from workers import keys
from workers.errors import RedisUnreachable
from workers.redis_client import translated

LABEL = "access"

#: Commands that belong together, each with its key and what else it is told.
Try = Sequence[tuple[Any, ...]]


def check_rights(client: redis.Redis, url: str) -> Iterator[Finding]:
    """A user of few rights may not ask for them, so they are tried."""
    user = urlsplit(url).username or "default"
    missing = {
        "scheduler": _refused(client, url, _scheduler_tries()),
        "worker": _refused(client, url, _worker_tries()),
    }
    enough = [role for role, refused in missing.items() if not refused]
    if enough:
        yield ok(LABEL, f"user {user} may do what a {' and a '.join(enough)} has to do")
        return
    lacking = (f"for a {role} {', '.join(refused)}" for role, refused in missing.items())
    yield problem(
        LABEL,
        f"user {user} has too few rights; it lacks {'; '.join(lacking)}",
        "Make its rights anew with: tapeworks secrets DIRECTORY, and restart Redis with them.",
        ExitCode.UNREACHABLE,
    )


def _refused(client: redis.Redis, url: str, tries: Sequence[Try]) -> list[str]:
    """The commands, with the kind of key, that this user may not give."""
    return [_name(commands) for commands in tries if not _is_allowed(client, url, commands)]


def _is_allowed(client: redis.Redis, url: str, commands: Try) -> bool:
    """In a transaction: of commands that are not all allowed none is carried out."""
    try:
        with translated(url), client.pipeline() as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            pipe.execute()
    except RedisUnreachable as error:
        if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
            return False
        raise
    return True


def _name(commands: Try) -> str:
    key = str(commands[0][1])
    kind = key.rpartition(":")[0] if _nobody() in key else key
    return f"{' and '.join(str(command[0]) for command in commands)} {kind}"


def _nobody() -> str:
    return f"doctor-{os.getpid()}"


def _scheduler_tries() -> list[Try]:
    """A few of its commands on each kind of key; what they leave behind lasts a second."""
    name = _nobody()
    return [
        [("SET", keys.payload_key(name), "", "EX", 1)],
        [("SET", keys.current_key(name), "0:0", "EX", 1)],
        [("SET", keys.in_progress_key(name), 1, "EX", 1)],
        [("SREM", keys.RUNS_KEY, name)],
        [("SMEMBERS", keys.WORKERS_KEY)],
        [("MGET", keys.worker_key(name))],
        [("BLPOP", keys.arrivals_key(name), 0.01)],
        [("HMGET", keys.answer_key(name), "header")],
        [("DEL", keys.answer_key(name))],
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
        [("HSET", answer, "header", ""), ("EXPIRE", answer, 1)],
        [("RPUSH", arrivals, name), ("EXPIRE", arrivals, 1)],
        [("SET", keys.worker_key(name), "", "EX", 1)],
        [("DEL", keys.worker_key(name))],
        [("SREM", keys.WORKERS_KEY, name)],
    ]
