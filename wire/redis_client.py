"""One way to reach Redis, and one check that it is fit to be trusted with a queue."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
)
from redis.retry import Retry

from tapeworks.wire import tls
from tapeworks.wire.addresses import DEFAULT_URL, REDIS, redact, without_password
from tapeworks.wire.errors import (
    RedisMisconfigured,
    RedisRefused,
    RedisUnreachable,
    RedisUnsuitable,
)
from tapeworks.wire.redis_programs import OLDEST_REDIS, start_command

#: Seconds until a connection that is not answered counts as failed.
CONNECT_TIMEOUT_SECONDS = 2.0

#: Seconds until a command that is not answered counts as failed: above every blocking time-out,
#: and so far below the lease of a run that a frozen Redis does not cost a scheduler its run.
ANSWER_TIMEOUT_SECONDS = 3.0

#: Parts of its memory limit: from the second one on it may refuse to be written to.
FILLING, FULL = 0.75, 0.9

#: The beginning of redis-py's sentence about a server that it does not reach.
_CONNECTING = re.compile(r"^Error -?\d+ (?:while )?connecting to .+?\. (?=[A-Z])")

#: A URL of this machine that asks for no password and no encryption, with its port.
_LOCAL = re.compile(r"redis://(?:localhost|127\.0\.0\.1|\[::1\])(?::(\d{1,5}))?(?:/\d*)?")

#: What a URL may say after its question mark. redis-py takes more: what no text can express, and
#: what is decided here, such as time-outs.
OPTIONS = {"db", "username", "password", "protocol", "client_name", "ssl_password"}

#: URLs whose server this process has had an answer from: it speaks as the URL says.
_ANSWERED = set[str]()


def unreachable(url: str, error: BaseException) -> RedisUnreachable:
    """Return the error with its sentence; `RedisMisconfigured` when waiting does not help."""
    place = without_password(url)
    if isinstance(error, OutOfMemoryError):
        return RedisUnreachable(
            f"Redis at {place} is full: raise its maxmemory, or lift the limit "
            "with: redis-cli CONFIG SET maxmemory 0"
        )
    if isinstance(error, AuthenticationError) or _lacks_authentication(error):
        return RedisRefused(
            f"Redis at {place} refuses this user and password: {_refusal(error)}. Name both in "
            f"{REDIS.url_variable}, or the file with the password in {REDIS.file_variable}."
        )
    if isinstance(error, NoPermissionError):
        return RedisMisconfigured(
            f"The Redis user {_user(url)} may not do what it has to at {place}: {_words(error)}. "
            "Make its rules again with: tapeworks secrets DIRECTORY, and restart Redis with them."
        )
    encrypted = url.startswith("rediss:")
    if reason := tls.reason(error, encrypted=encrypted):
        may_pass = not encrypted or "timed out" in str(error)
        kind = RedisUnreachable if may_pass else RedisMisconfigured
        if url in _ANSWERED:
            reason = reason.removesuffix(tls.PERHAPS_TLS)
        return kind(f"Redis at {place} cannot be used: {reason}.")
    kind = RedisMisconfigured if isinstance(error, InvalidResponse) else RedisUnreachable
    return kind(
        f"Redis at {place} cannot be used: {_words(error)}. "
        f"{_how_to_start(url, error)}, or name another with {REDIS.url_variable}."
    )


def _how_to_start(url: str, error: BaseException) -> str:
    """Name the server that comes with Tapeworks where none runs at this machine's own address."""
    found = _LOCAL.fullmatch(url)
    is_refused = "refused" in str(error) or isinstance(error, ConnectionRefusedError)
    command = start_command(int(found[1] or 6379)) if found and is_refused else None
    return f"Start one with: {command}" if command else "Start one"


def _lacks_authentication(error: BaseException) -> bool:
    return isinstance(error, redis.ResponseError) and "NOAUTH" in str(error)


def _refusal(error: BaseException) -> str:
    """Redis' words; those about its own protocol come where no password was sent."""
    words = _words(error)
    is_protocol = words.startswith(("HELLO", "NOAUTH", "Authentication required"))
    return "it asks for a password, and none is named" if is_protocol else words


def _user(url: str) -> str:
    return unquote(urlsplit(url).username or "") or "default"


def _words(error: BaseException) -> str:
    """The first line of an error, without the address that redis-py puts before the reason."""
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".") if lines else type(error).__name__
    return _CONNECTING.sub("", first)


OPTIONS |= {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
OPTIONS |= {"ssl_cert_reqs", "ssl_check_hostname"}


def connect(url: str) -> redis.Redis:
    """A client for this URL; nothing is sent yet. Raises `RedisUnreachable` for an invalid URL."""
    try:
        _check_text(url)
        _check_number(url)
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            health_check_interval=5,
            # A connection that idled out is opened again, once; a time-out is not waited for twice.
            retry=Retry(NoBackoff(), retries=1, supported_errors=(redis.ConnectionError,)),
        )
        client.connection_pool.make_connection()  # takes the options, connects nothing
        if url.startswith("rediss:"):
            tls.check(client.connection_pool.connection_kwargs, without_password(url))
    except (ValueError, TypeError, AttributeError, redis.RedisError) as error:
        raise RedisUnreachable(
            f"Expected a Redis URL such as {DEFAULT_URL}, its password percent-encoded. "
            f"Received: {redact(url)}."
        ) from error
    return client


class Line(threading.local):
    """A connection of each thread's own, for what is asked at every shard.

    redis-py's pipelines do the same with three times as much code of theirs, and between two shards
    a processor's caches forget it: a round trip took up to 0.5 ms of processor time, not 0.1.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._held: _Held | None = None

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one round trip, once more if the connection is gone; their replies.

        All are carried out, and read, before one that is an error is raised, the first of them.
        """
        replies = self.ask_each(*commands)
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is None:
            return replies
        replies.clear()
        try:
            raise error
        finally:
            del error  # it holds this call, and that must not hold it: both would stay for a while

    def ask_each(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The same, with the errors among the replies."""
        if self._held is None or self._held.connection.pid != os.getpid():  # forked since
            self._held = _Held(self._pool)
        connection = self._held.connection
        call: Any = connection.retry.call_with_retry
        return list(call(lambda: _exchange(connection, commands), connection.disconnect))


class _Held:
    """A connection that is closed when nobody holds it any more: its thread or its `Line` is gone.

    By itself it would wait for Python's collector, because its parts know each other. A pool would
    count it for ever, and makes a hundred.
    """

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self.connection: Any = pool.connection_class(**pool.connection_kwargs)

    def __del__(self) -> None:
        self.connection.disconnect()


def _exchange(connection: Any, commands: tuple[tuple[Any, ...], ...]) -> list[Any]:
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [_reply(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # what is not read would be taken for the next reply
        raise


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def connection_options(url: str) -> dict[str, Any]:
    """Return what redis-py reads in a URL, for another library's pool of its connections.

    Raises `RedisUnreachable` for a URL of no use.
    """
    connect(url)
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return {"connection_class": redis.Connection, **options}


def _check_number(url: str) -> None:
    """Refuse a name as the database, which redis-py would take for number 0."""
    parts = urlsplit(url)
    number = unquote(parts.path).removeprefix("/")
    if not parts.scheme.startswith("redis") or not parts.hostname or "@" in parts.path:
        return
    if number and not (number.isascii() and number.isdigit()):
        raise RedisMisconfigured(
            f"Expected the number of a Redis database, such as {DEFAULT_URL}. "
            f"Received: {without_password(url)}"
        )


def _check_text(url: str) -> None:
    """Raise `ValueError` for what redis-py would take now and stumble over as it connects."""
    parts = urlsplit(url)
    host = unquote(parts.hostname or "")
    host.encode("idna")
    if "\0" in host or not url.isprintable() or parse_qs(parts.query).keys() - OPTIONS:
        raise ValueError(url)


def translate_errors(url: str) -> AbstractContextManager[None]:
    """Turn what redis-py raises into `RedisUnreachable`, in one sentence."""
    return _Translation(url)


class _Translation(AbstractContextManager[None]):
    """No generator: on Python 3.12 its frame and the error hold each other, and the connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if error is None:
            _ANSWERED.add(self._url)
        if isinstance(error, redis.RedisError | OSError):
            raise unreachable(self._url, error) from error


def memory_use(memory: Mapping[str, Any]) -> float:
    """The used part of the limit, out of INFO; 0 where there is no limit."""
    limit = int(memory.get("maxmemory", 0))
    return int(memory.get("used_memory", 0)) / limit if limit else 0.0


def check(client: redis.Redis, url: str) -> None:
    """Raise unless Redis answers, is new enough and never evicts keys."""
    with translate_errors(url):
        server = client.info("server")
        memory = client.info("memory")
    version = str(server["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        raise RedisUnsuitable(
            f"Expected Redis 6.2 or newer at {without_password(url)}. Received: {version}."
        )
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise RedisUnsuitable(
            f"Redis at {without_password(url)} may drop keys: expected maxmemory-policy noeviction."
            f" Received: {policy}. Set it with: redis-cli CONFIG SET maxmemory-policy noeviction"
        )
