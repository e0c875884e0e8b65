"""The rights of each Redis user as Redis' own rules: only the commands and keys it needs.

Redis 7 or newer understands them. Each grant is a selector of its own, so that a command that is
meant for one kind of key cannot be given to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tapeworks.wire.keys import (
    PREFIX,
    QUEUE_KEY,
    RUNS_KEY,
    SCHEDULERS_KEY,
    WORKERS_KEY,
    answer_key,
    arrivals_key,
    current_key,
    in_progress_key,
    network_key,
    payload_key,
    quarantine_key,
    scheduler_key,
    source_key,
    withdrawn_key,
    worker_key,
)

#: Commands without a key: those of a connection, of a transaction, and about the server.
PLAIN: tuple[str, ...] = (
    "ping",
    "select",
    "info",
    "multi",
    "exec",
    "discard",
    "unwatch",
    "client",
)

#: What `CLIENT` could do to others. Not the other way round: Redis 7.0 would refuse a file that
#: allows CLIENT SETINFO, which it does not know, and clients send to newer ones.
HARMFUL: tuple[str, ...] = ("kill", "list", "pause", "unpause", "unblock", "no-evict", "reply")
HARMFUL += ("tracking", "trackinginfo", "caching", "getredir")

#: Commands that only read.
READ: tuple[str, ...] = (
    "get",
    "getrange",
    "mget",
    "strlen",
    "exists",
    "smembers",
    "srandmember",
    "scard",
)
READ += ("ttl", "pttl")

#: The common queue and those of fingerprints.
QUEUE_KEYS = f"{QUEUE_KEY}*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Keys, by pattern, and what may be done with them."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]
    channels: tuple[str, ...] = ()

    def selector(self) -> str:
        """In the words of Redis. A key that is only read is not changed by any command."""
        kind = "%R~" if set(self.commands) <= set(READ) else "~"
        words = [kind + key for key in self.keys] + [f"&{channel}" for channel in self.channels]
        return f"({' '.join(words + [f'+{command}' for command in self.commands])})"


def _grant(keys: str | tuple[str, ...], *commands: str) -> Grant:
    return Grant(keys=(keys,) if isinstance(keys, str) else keys, commands=commands)


WORKER = (
    # What schedulers publish.
    _grant(
        (payload_key("*"), current_key("*"), network_key("*"), quarantine_key("*"), RUNS_KEY),
        *READ,
    ),
    _grant((withdrawn_key("*"), source_key("*")), *READ),
    # Its answers.
    _grant(answer_key("*"), "set"),
    _grant(arrivals_key("*"), "rpush", "expire"),
    # Its record, and those of others, so that a supervisor sees its own workers.
    _grant(worker_key("*"), "set", "del", *READ),
    _grant(WORKERS_KEY, "sadd", "srem", "expire", *READ),
    # Messages taken.
    _grant(QUEUE_KEYS, "brpop", "llen"),
)

SCHEDULER = (
    _grant(payload_key("*"), "set", "expire", *READ),
    _grant(source_key("*"), "set"),
    _grant((current_key("*"), network_key("*"), in_progress_key("*")), "set", "expire", *READ),
    _grant(
        (arrivals_key("*"), current_key("*"), network_key("*"), in_progress_key("*")), "del"
    ),  # in one command, when a run ends
    _grant(quarantine_key("*"), "sadd", "expire", *READ),
    _grant(RUNS_KEY, "sadd", "srem", "expire", *READ),
    _grant(answer_key("*"), "unlink", *READ),
    _grant(arrivals_key("*"), "blpop", "lpop"),
    _grant(withdrawn_key("*"), "set"),
    _grant(worker_key("*"), *READ),
    _grant(WORKERS_KEY, "srem", *READ),
    _grant(scheduler_key("*"), "set", "del", *READ),
    _grant(SCHEDULERS_KEY, "sadd", "srem", "expire", *READ),
    # Messages sent.
    _grant(QUEUE_KEYS, "lpush", "llen", "expire"),
)

#: How Celery's remote control and events reach those who listen; none of our workers does.
FLOWER_KEYS = tuple(
    f"{PREFIX}{key}"
    for key in (
        "celeryev.*",
        "*.reply.celery.pidbox*",
        "_kombu.binding.celeryev",
        "_kombu.binding.reply.celery.pidbox",
        "_kombu.binding_permanent.celeryev",
        "_kombu.binding_permanent.reply.celery.pidbox",
        "_kombu.binding_deadlines",
    )
)

FLOWER_COMMANDS: tuple[str, ...] = ("brpop", "llen", "del", "sadd", "srem", "smembers", "exists")
FLOWER_COMMANDS += ("zadd", "zrem", "zrangebyscore", "evalsha", "script|load", "script|exists")
FLOWER_COMMANDS += ("publish", "psubscribe", "punsubscribe")

#: Flower counts the messages of the queue, and asks workers that have been told not to answer.
FLOWER = (
    _grant(QUEUE_KEYS, "llen"),
    Grant(
        keys=FLOWER_KEYS,
        commands=FLOWER_COMMANDS,
        channels=(f"{PREFIX}/*.celery.pidbox", f"{PREFIX}/0.celeryev/*"),
    ),
)

#: The web page shows who is there, and changes nothing.
WEB = (
    _grant((WORKERS_KEY, SCHEDULERS_KEY, RUNS_KEY), *READ),
    _grant((worker_key("*"), scheduler_key("*"), quarantine_key("*")), *READ),
)

#: The users by name.
ROLES: Mapping[str, tuple[Grant, ...]] = {
    "scheduler": SCHEDULER,
    "worker": WORKER,
    "flower": FLOWER,
    "web": WEB,
}


def acl_file(passwords: Mapping[str, str]) -> str:
    """The content of Redis' `aclfile` for users with these passwords, of which it has hashes."""
    lines = [_user(name, grants, passwords[name]) for name, grants in ROLES.items()]
    return "\n".join(["user default off", *lines]) + "\n"


def _user(name: str, grants: tuple[Grant, ...], password: str) -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    plain = [f"+{command}" for command in PLAIN] + [f"-client|{harmful}" for harmful in HARMFUL]
    selectors = [grant.selector() for grant in grants]
    words = [name, "on", f"#{digest}", "resetkeys", "resetchannels", "-@all", *plain, *selectors]
    return f"user {' '.join(words)}"
