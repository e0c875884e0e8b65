"""Work of workers through Redis is replayed in one process, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.replay.differences import Difference
from tapeworks.scheduler.replay.replay import prepare
from tapeworks.storage.history import History
from tests.support.desk import contents
from tests.support.fleet import Fleet
from tests.support.mischief import Mischief
from tests.support.replaying import Bystander
from tests.support.training import drive, settings, submitted, through


@pytest.mark.parametrize("gradients", ["per-image", "summed"])
@pytest.mark.parametrize("replayed_by", ["process", "workers"])
def test_a_run_of_workers_whose_answers_went_astray_has_the_same_bits(
    gradients: str, replayed_by: str, fleet: Fleet, history: History, tmp_path: Path
) -> None:
    config = settings(gradients=gradients, checkpoint_every=4, shards=3)
    run = drive(history, through(Mischief(fleet.redis_url, 3)), submitted(history, config)).run
    before = contents(tmp_path / "runs.db")
    by: dict[str, Dispatcher] = {
        "process": LocalDispatcher(),
        "workers": CeleryDispatcher(fleet.redis_url),
    }
    found = list(prepare(history, run, []).compare(by[replayed_by], Bystander()))
    assert not [one for one in found if isinstance(one, Difference)]
    assert len(found) == config.iterations
    assert contents(tmp_path / "runs.db") == before
