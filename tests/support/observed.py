"""A scheduler and workers with metrics and logs, through all that may happen to them, once."""

from __future__ import annotations

import re
import secrets
import urllib.request
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.parse import unquote, urlsplit

import psutil
import redis
from prometheus_client.parser import text_string_to_metric_families

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.storage.history import History
from tapeworks.wire.exchange import Exchange
from tests.support.postgres import PostgresServer
from tests.support.processes import Start, Started, workers_of
from tests.support.redis_servers import free_port
from tests.support.training import settings, submitted
from tests.support.waiting import until

#: More than will be computed.
ITERATIONS = 100_000

#: Something was sent again since a worker does not answer.
AGAIN = re.compile(r'again_total{reason="(worker_gone|no_answer|idle_worker)"} [1-9]')

#: Samples by their name and labels, as Prometheus reads them.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Observed:
    """Everything observed of a run, its scheduler and its workers."""

    run: str
    history: History
    scheduler: Started
    worker: Started  #: writes JSON; its process was killed
    other_worker: Started  #: writes text
    secrets: list[str]
    scrapes: dict[str, str] = field(default_factory=dict)  #: by the moment
    attempts: int = 0  #: in SQL, as of the moment "paused"; likewise the next three
    images: int = 0
    iterations: int = 0
    sent_again: int = 0  #: events

    @property
    def completed(self) -> int:
        """Iterations of the run so far."""
        return self.history.find_run(self.run).completed_iterations

    def samples(self, moment: str) -> Samples:
        """One of the scrapes, read."""
        return samples(self.scrapes[moment])


def samples(text: str) -> Samples:
    """A scrape as numbers."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """One number of a scrape."""
    return found[name, frozenset(labels.items())]


def scrape(port: str) -> str:
    """Return the metrics that the endpoint serves; empty while it is not there yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
    except URLError:
        return ""
    return text


def when(port: str, line: str) -> str:
    """The first scrape in which a line matches."""

    def look() -> str:
        text = scrape(port)
        return text if re.search(f"^{line}$", text, re.MULTILINE) else ""

    return until(look, f"{line} is served")


def observe(
    server: RedisServer, postgres: PostgresServer, history: History, address: str, start: Start
) -> Observed:
    """Let it all happen."""
    password = secrets.token_hex(16)
    address = address.replace("tapeworks@", f"tapeworks:{password}@")
    run = submitted(history, settings(iterations=ITERATIONS, images=64, shards=4)).id
    places = {"TAPEWORKS_REDIS_URL": server.url, "TAPEWORKS_DATABASE_URL": address}
    json_, port, worker_port = ["--log-format", "json"], str(free_port()), str(free_port())
    debug = ["--log-level", "debug"]

    scheduler = start("scheduler", "--metrics-port", port, *json_, *debug, **places)
    worker = start("worker", "--metrics-port", worker_port, *json_, *debug, **places)
    other = start("worker", *debug, **places)
    no_worker = when(port, 'tapeworks_waiting{for="workers"} 1.0')  # they load TensorFlow
    seen = Observed(
        run=run,
        history=history,
        scheduler=scheduler,
        worker=worker,
        other_worker=other,
        secrets=[password, unquote(str(urlsplit(server.url).password))],
        scrapes={"no worker": no_worker},
    )
    _kill_a_worker(seen, Exchange(server.url), port, worker_port)
    _count(seen, port)
    _go_through_outages(seen, server, postgres, port)
    for one in (scheduler, other):
        one.interrupt()
        one.ended()
    return seen


def _kill_a_worker(seen: Observed, exchange: Exchange, port: str, worker_port: str) -> None:
    """With a shard in hand; its supervisor starts another, and is ended itself."""
    until(lambda: sum(bool(one.fingerprint) for one in exchange.workers()) == 2, "both are ready")
    _goes_on(seen)
    seen.scrapes["worker"] = when(worker_port, "tapeworks_worker_images_total.* [1-9].*")
    [victim] = workers_of(seen.worker)
    seen.scrapes["running"] = until(lambda: _freeze(seen, victim, port), "it has a shard in hand")
    victim.kill()
    seen.scrapes["worker restarted"] = when(worker_port, "tapeworks_worker_restarts_total 1.0")
    until(lambda: seen.worker.says("succeeded in"), "a task of the new one has ended")
    seen.worker.interrupt()
    seen.worker.ended()


def _freeze(seen: Observed, victim: psutil.Process, port: str) -> str:
    """Suspend it. A scrape after its shard was sent again; nothing if it had none in hand."""
    victim.suspend()
    before = seen.completed

    def look() -> str | None:
        text = scrape(port)
        if AGAIN.search(text):
            return text
        return None if seen.completed < before + 20 else "none"

    text = until(look, "it is overtaken or had nothing")
    if text == "none":
        victim.resume()
    return "" if text == "none" else str(text)


def _count(seen: Observed, port: str) -> None:
    """Pause the run, so that SQL and the metrics speak of the same."""
    seen.history.queue.pause(seen.run)
    seen.scrapes["paused"] = when(port, "tapeworks_runs_in_hand 0.0")
    records = seen.history.iterations(seen.run)
    seen.iterations, seen.images = len(records), sum(one.images for one in records)
    seen.attempts = sum(one.attempts for one in records)
    events = seen.history.events(seen.run)
    seen.sent_again = sum(event.kind == "sent_again" for event in events)


def _go_through_outages(
    seen: Observed, server: RedisServer, postgres: PostgresServer, port: str
) -> None:
    """Another password, while the worker is idle; then no Redis at all; then no database."""
    admin = redis.Redis.from_url(server.url, single_connection_client=True)
    admin.config_set("requirepass", secrets.token_hex(16))
    admin.client_kill_filter(_type="normal", skipme=True)
    until(lambda: seen.other_worker.says("Cannot connect to unix:"), "Celery sees it")
    seen.history.queue.resume(seen.run)
    waits = 'tapeworks_waiting{for="redis"} 1.0'
    seen.scrapes["wrong password"] = when(port, waits)
    admin.config_set("requirepass", seen.secrets[1])
    _goes_on(seen)
    admin.shutdown(nosave=True)
    admin.close()
    seen.scrapes["redis away"] = when(port, waits)
    until(server.revive, "Redis is started again")
    _goes_on(seen)
    postgres.kill()
    seen.scrapes["database away"] = when(port, 'tapeworks_waiting{for="database"} 1.0')
    postgres.start()
    _goes_on(seen)


def _goes_on(seen: Observed) -> None:
    before = seen.completed
    until(lambda: seen.completed > before + 2, "the run goes on")
