"""`tapeworks web` as a process on a core of its own, and requests to it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from urllib.parse import urlsplit

import psutil

from benchmarks.cores import pin
from benchmarks.processes import ROOT, TAPEWORKS, environment

#: Seconds for an answer, and for the server to end in.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer of the web page, read to its end."""

    status: int
    etag: str | None
    milliseconds: float


class Client:
    """One connection that stays open, as a browser's does."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)

    def get(self, url: str, etag: str | None = None) -> Answer:
        """Ask for what has this path and query, unless it still is what the ETag names.

        Raises if it is refused: the time of an error would mean nothing.
        """
        began = time.perf_counter()
        headers = {"sec-fetch-site": "same-origin"} | ({"if-none-match": etag} if etag else {})
        response = self._ask(url, headers)
        body = response.read()
        seconds = time.perf_counter() - began
        if response.status not in {200, 304}:
            raise RuntimeError(f"{url} is answered with {response.status}: {body[:500]!r}")
        return Answer(
            status=response.status, etag=response.headers["etag"], milliseconds=1000 * seconds
        )

    def _ask(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """Ask, on a new connection where the server has closed one that was idle."""
        try:
            self._connection.request("GET", url, headers=headers)
            return self._connection.getresponse()
        except RemoteDisconnected:
            self._connection.request("GET", url, headers=headers)
            return self._connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A web page that is served."""

    address: str
    process: psutil.Process

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client, whose connection is closed in the end."""
        client = Client(self.address)
        try:
            yield client
        finally:
            client.close()

    def processor_seconds(self) -> float:
        """Return what it has used, with the processes that answered queries for it."""
        return sum(self.process.cpu_times()[:4])


@contextmanager
def serve_web(database_url: str) -> Iterator[Server]:
    """Serve the database until the end; the server has the first core for itself."""
    process = subprocess.Popen(
        [TAPEWORKS, "web", "--port", "0"],
        env=environment(TAPEWORKS_DATABASE_URL=database_url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        pin(process.pid, 0)
        address = process.stdout.readline().strip() if process.stdout else ""
        if not address:
            raise RuntimeError(f"tapeworks web does not serve {database_url}")
        yield Server(address=address, process=psutil.Process(process.pid))
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
