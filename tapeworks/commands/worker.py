"""`tapeworks worker`: worker processes on this machine, until they are stopped."""

from __future__ import annotations

import click

from scheduler.control import Control
from tapeworks.errors import ExitCode
from tapeworks.output import say
from tapeworks.session import interruptible
from tapeworks.settings import settings
from workers.addresses import without_password
from workers.errors import RedisUnreachable
from workers.exchange import Exchange
from workers.supervisor import Supervisor

#: Seconds between two looks at the processes.
LOOK_SECONDS = 0.5


@click.command("worker", epilog="Example: tapeworks worker --processes 2")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="worker processes, at best one per core",
)
def command(processes: int) -> int:
    """Compute shards for the scheduler that uses the same Redis, until Ctrl-C.

    Needs the Redis at TAPEWORKS_REDIS_URL and nothing else: no database, no data set.
    """
    places, control = settings(), Control()
    url, exchange = places.redis_url, Exchange(places.redis_url, places.signer())
    exchange.check()
    supervisor, ready = Supervisor(url, processes), set[str]()
    with interruptible(control, "Stopping after the shards in hand"):
        workers = "1 worker" if processes == 1 else f"{processes} workers"
        say(f"Starting {workers} for {without_password(url)}")
        supervisor.start()
        try:
            while not control.wait(LOOK_SECONDS):
                supervisor.check()
                ready |= _say_who_is_ready(exchange, supervisor, ready)
        finally:
            supervisor.stop(hurried=lambda: control.abandoning)
    say("Workers stopped")
    return ExitCode.INTERRUPTED


def _say_who_is_ready(exchange: Exchange, supervisor: Supervisor, known: set[str]) -> set[str]:
    try:
        ready = {worker.name for worker in supervisor.ready(exchange.workers())}
    except RedisUnreachable:
        return set()  # the workers wait for it, and so does this line
    for name in sorted(ready - known):
        say(f"Worker {name} is ready")
    return ready
