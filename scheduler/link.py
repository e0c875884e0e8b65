"""What the Celery dispatcher keeps from one iteration of a run to the next."""

from __future__ import annotations

import time

from model.config import NetworkConfig
from model.datasets.data import ImageData
from scheduler.outstanding import Pace
from scheduler.work import Watcher
from workers import app as celery
from workers.chunks import ChunkedImages, chunked
from workers.exchange import IMAGES_SECONDS, Exchange

#: Seconds between two looks at who is there.
LOOK_SECONDS = 1.0


class Link:
    """The connection of one run to its workers."""

    def __init__(self, redis_url: str) -> None:
        self.exchange = Exchange(redis_url)
        self.pace = Pace()
        self.fingerprint: str | None = None
        self.live_workers = 0
        self.departures = 0  #: workers that vanished, so far
        self.server_id = ""
        self._allow_mixed = False
        self._looked_at = float("-inf")
        self._chunks: list[tuple[ImageData, ChunkedImages]] = []
        self._published: set[tuple[str, str]] = set()
        self._condition = ""
        self._names: set[str] = set()
        self._refused: set[str] = set()
        celery.use_redis(redis_url)

    def begin(
        self, run_id: str, network: NetworkConfig, fingerprint: str | None, *, allow_mixed: bool
    ) -> None:
        """Start on a run, whose fingerprint may be pinned already, or may vary."""
        self._allow_mixed = allow_mixed
        self.fingerprint, self.pace = fingerprint, Pace()
        self._refused.clear()
        self.exchange.announce_run(run_id, network)
        self._count()

    def end(self, run_id: str, epoch: int) -> None:
        """Leave the run; what it kept in Redis for itself is removed."""
        self._chunks.clear()
        self._published.clear()
        self.exchange.forget_run(run_id, epoch)

    def look(self, watcher: Watcher) -> None:
        """See, at most once a second, which Redis this is and how many workers are ready."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        known = self._names
        self._count()
        for name in sorted(known - self._names):
            self.departures += 1
            watcher.notice("worker_gone", f"Worker {name} is gone; sending again what is out.")
        if self.live_workers:
            self.condition(watcher, "", "")
        else:
            kind = f" of fingerprint {self.fingerprint}" if self.demanded_fingerprint else ""
            self.condition(watcher, "no_workers", f"No worker{kind} is ready; waiting for one.")

    def _count(self) -> None:
        self.server_id = self.exchange.server_id()
        demanded = self.demanded_fingerprint
        self._names = {
            worker.name
            for worker in self.exchange.workers()
            if worker.fingerprint and demanded in (None, worker.fingerprint)
        }
        self.live_workers = len(self._names)
        self._looked_at = time.monotonic()

    def condition(self, watcher: Watcher, kind: str, message: str) -> None:
        """Tell the watcher what the run waits for, once, and when it goes on."""
        if kind and kind != self._condition:
            watcher.notice(kind, message)
        elif self._condition and not kind:
            watcher.notice("going_on", "Workers are there; going on.")
        self._condition = kind

    def accepts(self, fingerprint: str) -> bool:
        """Whether an answer with this fingerprint may count."""
        return self._allow_mixed or self.fingerprint in (None, fingerprint)

    def pin(self, fingerprint: str) -> None:
        """An answer with this fingerprint is counted; the first one decides for the run."""
        self.fingerprint = self.fingerprint or fingerprint

    @property
    def is_waiting(self) -> bool:
        """Whether the run stands still until Redis or a worker comes back."""
        return bool(self._condition)

    @property
    def demanded_fingerprint(self) -> str | None:
        """The fingerprint that a worker must have to take a message; None for any."""
        return None if self._allow_mixed else self.fingerprint

    def refuse(self, watcher: Watcher, worker: str, fingerprint: str) -> None:
        """Tell, once for each, that a worker cannot serve this run."""
        if worker not in self._refused:
            self._refused.add(worker)
            watcher.notice(
                "worker_refused",
                f"Worker {worker} computes other bits than this run began with: expected "
                f"fingerprint {self.fingerprint}. Received: {fingerprint}.",
            )

    def publish_images(self, chunks: ChunkedImages) -> None:
        """Put the chunks into this Redis, unless they were put there before."""
        for name, payload in zip(chunks.digests, chunks.payloads, strict=True):
            if (self.server_id, name) not in self._published:
                self.exchange.publish(payload, IMAGES_SECONDS)
                self._published.add((self.server_id, name))

    def chunks(self, data: ImageData) -> ChunkedImages:
        """The data in chunks; cut once."""
        for known, chunks in self._chunks:
            if known is data:
                return chunks
        chunks = chunked(data.images, data.labels)
        self._chunks.append((data, chunks))
        return chunks
