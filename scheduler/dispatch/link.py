"""State that the Celery dispatcher keeps from one iteration of a run to the next."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from tapeworks.model.datasets.source import ImageData
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.scheduler.background import in_background
from tapeworks.scheduler.core.standing import Standing
from tapeworks.scheduler.dispatch.contract import Watcher, Work
from tapeworks.scheduler.events import ImagesPublished, Notice, RunAnnounced
from tapeworks.wire.addresses import without_password
from tapeworks.wire.chunks import ChunkedImages, make_chunks
from tapeworks.wire.errors import SignatureWrong
from tapeworks.wire.exchange import Exchange, Opening
from tapeworks.wire.keys import IMAGES_SECONDS, PARAMETERS_SECONDS, WORKER_SECONDS
from tapeworks.wire.messages import ShardMessage, WorkerRecord
from tapeworks.wire.redis_client import FILLING, FULL
from tapeworks.wire.registry import Survey
from tapeworks.wire.signing import REMEDY, UNSIGNED, Signer
from tapeworks.wire.versions import tapeworks_version

#: Seconds between two looks at who is there.
LOOK_SECONDS = 1.0

#: Workers of other fingerprints that a run's events name: names can be made up by the thousand.
MOST_REFUSED_TOLD = 100

#: Workers that are gone which a run's events name at one look; the others are counted.
MOST_GONE_TOLD = 10


class Link:
    """The connection of one run to its workers."""

    def __init__(
        self, redis_url: str, signer: Signer = UNSIGNED, *, trusts_one: bool = False
    ) -> None:
        """With `trusts_one` all workers there are this command's own."""
        self.exchange = Exchange(redis_url, signer)
        self._trusts_one = trusts_one
        self.standing = Standing(trusts_one=trusts_one)
        self.living: dict[str, str] = {}  #: workers with the right key, and their fingerprints
        self.in_hand: dict[str, str] = {}  #: ids of the attempts that they have in hand
        self.runs = 1  #: in progress at this Redis
        self.queue_length = 0  #: messages of all runs that no worker has taken
        self.server_id = ""
        self._looked_at = float("-inf")
        self._lost_at = float("-inf")
        self._chunks: list[tuple[ImageData, ChunkedImages]] = []
        self._published: set[tuple[str, str]] = set()
        self._parameters = ""  #: digest of those that were published last
        self._is_prepared = False  #: this Redis knows the run
        self._condition = ""
        self._newcomer: tuple[str, AnyNetwork] | None = None
        self._source: str | None = None  #: of a user's network
        self._digest: str | None = None  #: of that
        self._refusals: dict[str, set[str]] = {}  #: workers that may not run it, by digest
        self._refused: set[str] = set()
        self._strangers: frozenset[str] = frozenset()  #: alive, with another key or none
        self._other_versions: dict[str, str] = {}  #: of workers seen for this run, by name
        self._told_of_stranger = self._told_of_forgery = self._told_of_version = False
        self._told_of_full = False

    def begin(
        self,
        run_id: str,
        network: AnyNetwork,
        fingerprint: str | None,
        *,
        allow_mixed: bool,
        quarantined: Collection[str] = (),
        source: str | None = None,
    ) -> None:
        """Start on a run, whose fingerprint may be pinned already, or may vary.

        Redis may be away: what it has to know it is told by `join`. A `source` is that of a user's
        network, which nobody runs here.
        """
        self._remember_refusals()
        self._source, self._digest = source, network.digest
        self._condition = ""
        self.standing = Standing(
            quarantined, fingerprint, allow_mixed=allow_mixed, trusts_one=self._trusts_one
        )
        self._refused.clear()
        self._other_versions.clear()
        self._told_of_stranger = self._told_of_forgery = self._told_of_version = False
        self._newcomer, self._is_prepared = (run_id, network), False

    def join(self, watcher: Watcher) -> None:
        """Announce the run that has begun, and see who is there for it; once."""
        if self._newcomer is None:
            return
        run_id, network = self._newcomer
        self._announce(run_id, network)
        watcher.events(RunAnnounced(run_id))
        self._look(run_id)
        self._newcomer = None

    def _announce(self, run_id: str, network: AnyNetwork) -> None:
        if self._source is not None:
            self.exchange.publish_source(self._source)
        self.exchange.announce_run(run_id, network)
        self.exchange.quarantine(run_id, self.standing.quarantined)
        self._is_prepared = True

    def end(self, run_id: str, term: int) -> None:
        """Leave the run; what it kept in Redis for itself is removed."""
        self._remember_refusals()
        self._digest = None
        self._chunks.clear()
        self._published.clear()
        self._is_prepared = False
        if self._parameters:
            self.exchange.retire(self._parameters)
            self._parameters = ""
        self.exchange.forget_run(run_id, term)

    def survey_workers(self, run_id: str, watcher: Watcher) -> bool:
        """Look, at most once a second, at workers and memory, and report what has changed.

        Returns whether Redis has forgotten the run.
        """
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        known, server = dict(self.living), self.server_id
        seen = self._look(run_id)
        lost = self._report_emptied(seen, server, watcher)
        if lost:
            self._lost_at = time.monotonic()
        if time.monotonic() - self._lost_at < WORKER_SECONDS:
            self.living = known | self.living  # records were lost too, and will be back soon
        fitting = {name for name, kind in known.items() if self.standing.accepts(kind)}
        self._report_gone(sorted(fitting - self.living.keys() - self.standing.quarantined), watcher)
        self._report_strangers(watcher)
        self._report_versions(watcher)
        for name, kind in sorted(self.living.items()):
            if not self.standing.accepts(kind):
                self.refuse(watcher, name, kind)
        self._report_workers(watcher)
        self._report_memory(seen.memory_use, watcher)
        return lost

    def _report_gone(self, names: list[str], watcher: Watcher) -> None:
        """Name a few: anybody may write thousands of records, and let them vanish at once."""
        for name in names[:MOST_GONE_TOLD]:
            message = f"Worker {name} is gone; sending again what is out."
            watcher.events(Notice("worker_gone", message, name))
        if others := names[MOST_GONE_TOLD:]:
            watcher.events(Notice("worker_gone", f"Gone, too: {_first(others)}."))

    def _report_emptied(self, seen: Survey, server_id: str, watcher: Watcher) -> bool:
        is_emptied = bool(self._parameters) and not seen.knows_run
        if seen.server_id != server_id:
            watcher.events(Notice("redis_restarted", "Redis was restarted; sending again."))
        elif is_emptied:
            watcher.events(Notice("redis_emptied", "Redis was emptied; sending again."))
        return is_emptied or seen.server_id != server_id

    def _report_strangers(self, watcher: Watcher) -> None:
        """Once for the run: records are unsigned, and anybody may write thousands of them."""
        if self._strangers and not self._told_of_stranger:
            self._told_of_stranger = True
            watcher.events(
                Notice(
                    "signing_key_differs",
                    f"Worker {_first(self._strangers)} cannot serve this run: expected "
                    f"{_key(self.exchange.signer.key_id)} as here. {REMEDY}.",
                )
            )

    def _report_versions(self, watcher: Watcher) -> None:
        """Name, once for the run, workers that may not understand what they are sent."""
        if self._other_versions and not self._told_of_version:
            self._told_of_version = True
            received = self._other_versions[min(self._other_versions)] or "an older one"
            watcher.events(
                Notice(
                    "worker_version_differs",
                    f"Worker {_first(self._other_versions)} may refuse this run's messages: "
                    f"expected Tapeworks {tapeworks_version()} as here. Received: {received}. "
                    "Install the same version on all machines.",
                )
            )

    def report_forgery(self, watcher: Watcher, attempt_id: str, error: SignatureWrong) -> None:
        """Tell, once for the run, that an answer is dropped: it says nothing about any worker."""
        if not self._told_of_forgery:
            self._told_of_forgery = True
            watcher.events(
                Notice(
                    "answer_forged",
                    f"Attempt {attempt_id} is not counted: {error} Answers like it will be dropped "
                    "silently, and their shards sent again.",
                )
            )

    def _report_workers(self, watcher: Watcher) -> None:
        if self.workers:
            self._over("no_workers", watcher, "Workers are there; going on.")
            return
        demanded = self.standing.demanded_fingerprint
        kind = f" of fingerprint {demanded}" if demanded else ""
        other = " that is not quarantined" if self.standing.quarantined else ""
        if self.standing.not_allowed:
            other += f"{' and' if other else ' that'} may run this run's network"
        self._wait_for("no_workers", watcher, f"No worker{kind}{other} is ready; waiting for one.")

    def _report_memory(self, used: float, watcher: Watcher) -> None:
        """Tell of a full Redis even if it is the workers alone whom it refuses."""
        if used > FULL and not self._told_of_full:
            self._told_of_full = True
            watcher.events(
                Notice(
                    "redis_full",
                    f"Redis at {without_password(self.exchange.url)} is full: {used:.0%} of its "
                    "maxmemory are in use, and it may refuse what workers answer. Raise it, such as"
                    ": redis-cli CONFIG SET maxmemory 1gb",
                )
            )
        elif used < FILLING and self._told_of_full:
            self._told_of_full = False
            watcher.events(Notice("going_on", "Redis has room again; going on."))

    def _look(self, run_id: str) -> Survey:
        fingerprint, is_reserved = self.standing.demanded_fingerprint, self._is_reserved
        seen = self.exchange.survey(run_id, fingerprint, is_reserved=is_reserved)
        if not self._told_of_version:
            here = tapeworks_version()
            others = {one.name: one.version for one in seen.workers if one.version != here}
            self._other_versions |= others
        ready = [worker for worker in seen.workers if worker.fingerprint]
        key = self.exchange.signer.key_id
        self.living = {w.name: w.fingerprint or "" for w in ready if w.signing_key == key}
        self.in_hand = {one.name: one.shard_in_hand for one in ready if one.shard_in_hand}
        self._strangers = frozenset(worker.name for worker in ready) - self.living.keys()
        self.server_id, self.runs, self.queue_length = seen.server_id, seen.runs, seen.queue_length
        self._looked_at = time.monotonic()
        return seen

    def fingerprints(self) -> frozenset[str]:
        """Return those of all workers that are there and have this scheduler's key."""
        return frozenset(worker.fingerprint or "" for worker in self._find_ready())

    def _find_ready(self) -> list[WorkerRecord]:
        own, workers = self.exchange.signer.key_id, self.exchange.workers()
        return [one for one in workers if one.signing_key == own and one.fingerprint]

    def refused_networks(self) -> frozenset[str]:
        """Return the networks that each of these workers has refused to run.

        Of one that is gone it is forgotten: it may come back with other permissions.
        """
        self._remember_refusals()
        if not self._refusals:
            return frozenset()
        there = {worker.name for worker in self._find_ready()}
        known = {digest: names & there for digest, names in self._refusals.items()}
        self._refusals = {digest: names for digest, names in known.items() if names}
        return frozenset(digest for digest, names in self._refusals.items() if names == there)

    def _remember_refusals(self) -> None:
        if self._digest and self.standing.not_allowed:
            self._refusals[self._digest] = set(self.standing.not_allowed)

    def report_outage(self, watcher: Watcher, problem: str) -> None:
        """Redis did not do what it was asked for; told once, until it does."""
        self._wait_for("redis_unreachable", watcher, problem)

    def report_recovery(self, watcher: Watcher) -> None:
        """Redis did all that it was asked for."""
        self._over("redis_unreachable", watcher, "Redis is back; going on.")

    def _wait_for(self, kind: str, watcher: Watcher, message: str) -> None:
        if kind != self._condition:
            watcher.events(Notice(kind, message))
        self._condition = kind

    def _over(self, kind: str, watcher: Watcher, message: str) -> None:
        if kind == self._condition:
            self._condition = ""
            watcher.events(Notice("going_on", message))

    @property
    def workers(self) -> frozenset[str]:
        """The workers that may compute this run."""
        standing = self.standing
        fitting = {name for name, kind in self.living.items() if standing.accepts(kind)}
        return frozenset(fitting - standing.excluded)

    @property
    def _is_reserved(self) -> bool:
        """True while only workers that run users' networks should get this run's messages."""
        return self.standing.asks_in_vain(self.workers)

    @property
    def is_waiting(self) -> bool:
        """True while the run stands still until Redis or a worker comes back."""
        return bool(self._condition)

    def refuse(self, watcher: Watcher, worker: str, fingerprint: str) -> None:
        """Report, once for each of the first, that a worker cannot serve this run."""
        if worker not in self._refused and len(self._refused) < MOST_REFUSED_TOLD:
            self._refused.add(worker)
            watcher.events(
                Notice(
                    "worker_refused",
                    f"Worker {worker} computes other bits than this run began with: expected "
                    f"fingerprint {self.standing.fingerprint}. Received: {fingerprint}.",
                    worker,
                )
            )

    def prepare(self, work: Work, watcher: Watcher) -> None:
        """Put what lasts for many iterations into this Redis; the first time it takes a while."""
        if not self._is_prepared:
            self._announce(work.run_id, work.network)
        chunks = self._find_chunks(work.data)
        if chunks is None:
            chunks = in_background(lambda: self.chunks(work.data), watcher.tick)
        payloads = zip(chunks.digests, chunks.payloads, strict=True)
        fresh = {n: p for n, p in payloads if (self.server_id, n) not in self._published}
        for name, payload in fresh.items():
            self.exchange.publish(payload, IMAGES_SECONDS)
            self._published.add((self.server_id, name))
            watcher.tick()
        if fresh:
            watcher.events(ImagesPublished(work.run_id))

    def send(self, work: Work, messages: Iterable[ShardMessage], *, is_first: bool) -> None:
        """Put messages on the queue; the first of a work with what they rest on.

        The parameters of the iteration before go: no attempt that may still count needs them.
        """
        opening = Opening(
            run_id=work.run_id,
            term=work.term,
            iteration=work.iteration,
            parameters=work.parameters,
            parameters_digest=work.parameters_digest,
            retired=self._parameters,
        )
        self.exchange.send(messages, opening if is_first else None, is_reserved=self._is_reserved)
        self._parameters = work.parameters_digest

    def publish_missing(self, work: Work, digests: tuple[str, ...]) -> None:
        """Put again what a worker did not find."""
        chunks = self.chunks(work.data)
        for name in dict.fromkeys(digests):
            payload = chunks.payload(name)
            if payload is not None:
                self.exchange.publish(payload, IMAGES_SECONDS)
            elif name == work.parameters_digest:
                self.exchange.publish(work.parameters, PARAMETERS_SECONDS)
            elif name == work.network.digest and self._source is not None:
                self.exchange.publish_source(self._source)

    def forget_published(self) -> None:
        """Redis was emptied, or may have been."""
        self._published.clear()
        self._is_prepared = False

    def chunks(self, data: ImageData) -> ChunkedImages:
        """The data in chunks; cut once."""
        chunks = self._find_chunks(data)
        if chunks is None:
            chunks = make_chunks(data.images, data.labels)
            self._chunks.append((data, chunks))
        return chunks

    def _find_chunks(self, data: ImageData) -> ChunkedImages | None:
        return next((chunks for known, chunks in self._chunks if known is data), None)


def _first(names: Collection[str]) -> str:
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{min(names)}{others}"


def _key(key_id: str) -> str:
    return f"the signing key {key_id}" if key_id else "no signing key"
