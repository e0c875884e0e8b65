"""The embedded cluster: a Redis and worker processes for the time of one command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tapeworks.cluster.redis_server import RedisServer, temporary_directory, temporary_file
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted
from tapeworks.wire.errors import RedisUnreachable, WorkerExited
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tapeworks.wire.signing import Signer
from tapeworks.workers.sources import allow_networks
from tapeworks.workers.stages import Stage
from tapeworks.workers.supervisor import DRAIN_SECONDS, Supervisor

#: Seconds between two looks at the workers that are starting.
LOOK_SECONDS = 0.1

#: Bytes of the workers' log that are shown when they do not start.
LOG_TAIL_BYTES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Workers that are ready, and their Redis."""

    url: str  #: of the Redis
    fingerprints: frozenset[str]  #: of the workers
    #: Looks after it all; what the user should know of that. Raises `WorkerExited` when the
    #: workers die again and again, `UsageError` when the private Redis does.
    check: Callable[[], str | None]


@contextmanager
def start_cluster(
    named_redis_url: str | None,
    workers: int,
    network: AnyNetwork,
    source: str | None,
    control: Control,
    say: Callable[[str], None],
    signer: Signer,
    *,
    pinned: bool,
) -> Iterator[Cluster]:
    """Have so many workers ready for this network; they find the signer's key by themselves.

    They may run its `source`, if it is a user's, and no other, whatever the environment allows.
    Uses the named Redis, else starts a private one. Nothing of it is left afterwards. Raises
    `Interrupted` when the user does not want to wait, `WorkerExited` when no worker gets ready.
    """
    with ExitStack() as stack:
        server = None if named_redis_url else stack.enter_context(RedisServer())
        url = server.url if server else str(named_redis_url)
        exchange = Exchange(url, signer)
        exchange.check()
        announced = f"cluster-{os.getpid()}"
        exchange.announce_run(announced, network)
        stack.callback(_forget, exchange, announced)
        log = stack.enter_context(temporary_file())
        allowed = allow_networks(stack.enter_context(_directory_of(source)))
        supervisor = Supervisor(url, workers, log, allowed, pinned=pinned)
        # Behind a private Redis nobody waits for what a worker has in hand.
        stack.callback(supervisor.stop, 0.0 if server else DRAIN_SECONDS)
        supervisor.start()
        say(f"Starting {workers} {'worker' if workers == 1 else 'workers'}")
        began, stage = time.monotonic(), Stage.STARTING
        check = partial(_look_after, supervisor, server)
        while len(ready := supervisor.ready(_read_workers(exchange, server))) < workers:
            if control.wait(LOOK_SECONDS):
                raise Interrupted("Interrupted before the workers were ready.")
            try:
                news = check()
            except WorkerExited as error:
                raise WorkerExited(f"{error} Their last words: {_tail(log)}") from error
            if news:
                say(news)
            if stage < supervisor.stage < Stage.READY:
                stage = supervisor.stage
                say(stage.sentence)
        say(f"Ready after {time.monotonic() - began:.1f} s")
        prints = {worker.fingerprint for worker in ready if worker.fingerprint}
        yield Cluster(url=url, fingerprints=frozenset(prints), check=check)


@contextmanager
def _directory_of(source: str | None) -> Iterator[Path | None]:
    """Yield a directory that holds nothing but this source, and is nobody else's; None without."""
    if source is None:
        yield None
        return
    with temporary_directory({"network.py": source.encode()}) as directory:
        yield directory


def _look_after(supervisor: Supervisor, server: RedisServer | None) -> str | None:
    supervisor.check()
    if server and server.revive():
        return "The private Redis ended; started it again."
    return None


def _read_workers(exchange: Exchange, server: RedisServer | None) -> list[WorkerRecord]:
    try:
        return exchange.workers()
    except RedisUnreachable:
        if server is None:
            raise
        return []  # the next look starts it again, or says why not


def _forget(exchange: Exchange, announced: str) -> None:
    with suppress(RedisUnreachable):  # then there is nothing to forget
        exchange.forget_run(announced, 0)


def _tail(log: IO[bytes]) -> str:
    end = log.seek(0, os.SEEK_END)
    log.seek(max(0, end - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace")
