"""Times of pages, and the share of a core that open ones take."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import quote

from benchmarks.rounds import announced
from benchmarks.web.server import Client, Server

#: Seconds between two questions of an open page, as in live.js.
PERIOD_SECONDS = 2.0

#: Seconds in which all pages must be open.
START_SECONDS = 60.0

#: Polls of each page in a round.
POLLS = 5

#: A query that takes seconds on any machine.
SLOW = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000)
SELECT count(*) FROM n"""

#: Milliseconds of each page, by its name.
Times = Mapping[str, float]

#: Serves the database for a while.
Serve = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTimes:
    """Medians of all pages."""

    cold: Times  #: opened for the first time since the server's start
    warm: Times  #: opened again; it has been forgotten what was answered
    poll: Times  #: asked whether it has changed, which it has not


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPages:
    """The cost of pages that stay open."""

    share: float  #: of a core, that the server takes
    poll: float  #: milliseconds, the median
    slowest: float  #: milliseconds of the slowest one of a hundred
    unchanged: float  #: the share of answers that say so


def measure_pages(serve: Serve, pages: Mapping[str, str], rounds: int) -> PageTimes:
    """Take every page's times in each round, with a server that is new."""
    cold, warm, poll = (defaultdict[str, list[float]](list) for _ in range(3))
    for number in announced(rounds):
        with serve() as server, server.client() as client:
            for name, url in pages.items():
                cold[name].append(client.get(url).milliseconds)
            for name, url in pages.items():
                warm[name].append(client.get(_vary(url, number)).milliseconds)
            for name, url in pages.items():
                poll[name] += _poll(client, url)
    return PageTimes(cold=_medians(cold), warm=_medians(warm), poll=_medians(poll))


def _vary(url: str, number: int) -> str:
    """A URL that asks for the same, and that nobody has asked for: answers are kept by URL.

    Pages refuse parameters that they do not know, and read past empty ones.
    """
    empty = "&" * (number + 1)
    return url if "/api/" in url else f"{url}{'' if '?' in url else '?'}{empty}"


def _medians(samples: Mapping[str, list[float]]) -> Times:
    return {name: statistics.median(values) for name, values in samples.items() if values}


def _poll(client: Client, url: str) -> list[float]:
    """Milliseconds of some polls; none where the answer has no ETag."""
    etag = client.get(url).etag
    if etag is None:
        return []
    answers = [client.get(url, etag) for _ in range(POLLS)]
    if any(answer.status != 304 for answer in answers):
        raise RuntimeError(f"{url} changes although nothing has changed")
    return [answer.milliseconds for answer in answers]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowQuery:
    """A query that takes long, and others meanwhile."""

    query: float  #: milliseconds
    poll: float  #: of a page that has not changed, milliseconds of the slowest


def measure_slow_query(serve: Serve, url: str) -> SlowQuery:
    """Poll a page while a query is answered that takes long."""
    with serve() as server, server.client() as client, ThreadPoolExecutor() as threads:
        etag = client.get(url).etag
        asked = threads.submit(_ask_slowly, server)
        polls = []
        while not asked.done():
            polls.append(client.get(url, etag).milliseconds)
            time.sleep(PERIOD_SECONDS / 100)
        return SlowQuery(query=asked.result(), poll=max(polls))


def _ask_slowly(server: Server) -> float:
    with server.client() as client:
        return client.get(f"/sql?q={quote(SLOW)}").milliseconds


def measure_open_pages(serve: Serve, pages: Sequence[Sequence[str]], seconds: float) -> OpenPages:
    """Have the pages open for so long, each asking on a connection of its own."""
    ready, over = threading.Barrier(len(pages) + 1, timeout=START_SECONDS), threading.Event()
    with serve() as server, ThreadPoolExecutor(len(pages)) as threads:
        looking = [
            threads.submit(_look, server, urls, place / len(pages), ready, over)
            for place, urls in enumerate(pages)
        ]
        ready.wait()
        began, before = time.monotonic(), server.processor_seconds()
        time.sleep(seconds)
        used, elapsed = server.processor_seconds() - before, time.monotonic() - began
        over.set()
        answers = list(itertools.chain.from_iterable(one.result() for one in looking))
    times = sorted(milliseconds for _, milliseconds in answers)
    return OpenPages(
        share=used / elapsed,
        poll=statistics.median(times),
        slowest=times[len(times) * 99 // 100],
        unchanged=sum(status == 304 for status, _ in answers) / len(answers),
    )


def _look(
    server: Server,
    urls: Sequence[str],
    phase: float,
    ready: threading.Barrier,
    over: threading.Event,
) -> list[tuple[int, float]]:
    """Open a page and ask for its URLs; status and milliseconds of each answer."""
    answers = []
    with server.client() as client:
        etags = {url: client.get(url).etag for url in urls}
        ready.wait()
        due = time.monotonic() + phase * PERIOD_SECONDS
        while not over.wait(max(0.0, due - time.monotonic())):
            for url in urls:
                answer = client.get(url, etags[url])
                etags[url] = answer.etag
                answers.append((answer.status, answer.milliseconds))
            due += PERIOD_SECONDS
    return answers
