"""Work that changes hands, from a slow worker to an idle one, and is shared by runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord
from tests.support.fleet import Fleet
from tests.support.training import Digests, drive, settings, submitted

pytestmark = pytest.mark.slow

Undisturbed = Callable[[RunConfig], Digests]


@pytest.mark.usefixtures("one_by_one")
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
        answers[:] = [one.received_at for one in history.ledger(run.id) if one.received_at]
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
