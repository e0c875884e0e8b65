"""Work that changes hands: from a dead owner to the next, from a slow worker to an idle one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from model import datasets
from model.config import RunConfig
from model.images import cut
from model.parameters import digest, from_bytes, to_bytes
from scheduler.celery_dispatcher import CeleryDispatcher
from scheduler.gathering import Gathering
from scheduler.work import Work
from storage.history import History
from storage.owners import current_owner
from storage.records import IterationRecord, RunRecord
from tests.support.fleet import Fleet
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until
from workers.keys import arrivals_key
from workers.messages import Wanted

Undisturbed = Callable[[RunConfig], Digests]


class Unwatched:
    """A watcher of an owner that nobody will hear of again."""

    def tick(self, *, waiting: bool = False) -> None:
        """Nobody keeps the lease."""

    def notice(self, kind: str, message: str) -> None:
        """Nobody writes it down."""


def first_work(run: RunRecord, config: RunConfig, epoch: int, history: History) -> Work:
    payload = to_bytes(from_bytes(history.checkpoint(run.id).parameters))
    return Work(
        run_id=run.id,
        epoch=epoch,
        iteration=0,
        network=config.network,
        wanted=Wanted(config.gradient_form),
        parameters=payload,
        parameters_digest=digest(payload),
        data=datasets.load(config).training,
        microbatches=cut(range(config.images), config.network.microbatch_size),
        shards=config.shards,
    )


def test_answers_to_a_dead_owner_are_counted_by_the_next_one(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    config = settings(shards=2)
    run = submitted(history, config)
    dead = history.claim(run.id, current_owner(), lease_seconds=-1)
    dispatcher = CeleryDispatcher(fleet.redis_url)
    dispatcher.begin(run.id, config.network, None, allow_mixed=False)
    work = first_work(run, config, dead.epoch, history)
    link = dispatcher._link
    link.join()
    link.exchange.next_arrival = lambda *_: None  # type: ignore[method-assign]
    Gathering(link, work, Unwatched()).turn()
    until(lambda: fleet.redis.llen(arrivals_key(run.id)) == 2, "both shards are answered")

    driven = drive(history, CeleryDispatcher(fleet.redis_url), run)
    assert driven.digests == undisturbed(settings())
    assert driven.run.epoch == dead.epoch + 1
    epochs = {entry.epoch for entry in history.ledger(run.id, iteration=0)}
    assert epochs == {dead.epoch}
    assert {entry.epoch for entry in history.ledger(run.id, iteration=1)} == {dead.epoch + 1}


def test_an_idle_worker_repeats_what_a_frozen_one_has_in_hand(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings(shards=2, iterations=8))
    frozen: list[psutil.Process] = []

    def freeze(record: IterationRecord) -> None:
        if record.iteration == 3:
            frozen.append(psutil.Process(min(fleet.process_ids())))
            frozen[0].suspend()

    def thaw(kind: str, _: str) -> None:
        if kind == "worker_gone":
            frozen[0].resume()

    try:
        driven = drive(
            history, CeleryDispatcher(fleet.redis_url), run, on_iteration=freeze, on_notice=thaw
        )
    finally:
        for process in frozen:
            process.resume()
    assert driven.digests == undisturbed(settings(iterations=8))
    again = driven.said("sent_again")
    assert any("an idle worker repeats it" in sentence for sentence in again), again


@pytest.mark.timeout(600)
def test_a_run_with_long_shards_does_not_starve_a_small_one(
    fleet: Fleet, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    slow = settings(unfolding="full", images=64, microbatch_size=8, shards=8, iterations=5)
    small = settings(iterations=12, seed=8)
    answers: list[datetime] = []
    under_way = threading.Event()

    def drive_slow() -> None:
        history = History.open(tmp_path / "runs.db")
        run = submitted(history, slow, name="slow")
        drive(
            history,
            CeleryDispatcher(fleet.redis_url),
            run,
            on_iteration=lambda _: under_way.set(),
        )
        answers[:] = [entry.received_at for entry in history.ledger(run.id)]
        history.database.close()

    history = History.open(tmp_path / "runs.db")
    warming = submitted(history, small)
    drive(history, CeleryDispatcher(fleet.redis_url), warming)  # both workers compile its network
    other = threading.Thread(target=drive_slow)
    other.start()
    try:
        assert under_way.wait(300)
        run = submitted(history, small, name="small")
        driven = drive(history, CeleryDispatcher(fleet.redis_url), run)
    finally:
        other.join()
    assert driven.digests == undisturbed(small)
    began = [record.started_at for record in history.iterations(run.id)]
    history.database.close()
    # Had the small run to wait behind the long shards in each of its iterations, few of these
    # would be left when it comes to its last one (16 were, as far as it was seen).
    left = [at for at in answers if at > began[-1]]
    assert len(answers) == 40
    assert len(left) > 16, (answers, began)
