"""A run that was stopped goes on to the same bits, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Dispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.errors import CannotContinueHere
from tapeworks.scheduler.events import RunClaimed, broadcast
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.fleet import Fleet
from tests.support.listeners import drain_after, on
from tests.support.replaying import replayed
from tests.support.training import Digests, drive, settings, submitted

Undisturbed = Callable[[RunConfig], Digests]
Make = Callable[[], Dispatcher]


@pytest.fixture
def make(fleet: Fleet) -> dict[str, Make]:
    return {"queue": lambda: CeleryDispatcher(fleet.redis_url), "process": LocalDispatcher}


@pytest.mark.parametrize("stop_after", [1, 3, 5])
@pytest.mark.parametrize(
    ("before", "after"), [("process", "queue"), ("queue", "process"), ("queue", "queue")]
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    before: str,
    after: str,
    stop_after: int,
    make: dict[str, Make],
    history: History,
    undisturbed: Undisturbed,
) -> None:
    run = submitted(history, settings(checkpoint_every=10))
    stopped = drive(history, make[before](), run, stop_after=stop_after)
    assert (stopped.run.status, stopped.run.completed_iterations) == (RunStatus.PAUSED, stop_after)
    resumed = drive(history, make[after](), run)
    assert resumed.run.status is RunStatus.COMPLETED
    assert resumed.digests == undisturbed(settings())
    terms = [record.term for record in history.iterations(run.id)]
    assert terms == [1] * stop_after + [2] * (6 - stop_after)


def test_a_run_that_was_stopped_before_every_iteration_has_the_same_bits(
    make: dict[str, Make], history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings())
    for done, kind in enumerate(["queue", "process"] * 3, start=1):
        driven = drive(history, make[kind](), run, stop_after=done)
    assert driven.run.status is RunStatus.COMPLETED
    assert driven.digests == undisturbed(settings())
    assert driven.run.term == 6


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_run_goes_on_with_what_its_optimizer_remembers(
    optimizer: str, make: dict[str, Make], history: History, undisturbed: Undisturbed
) -> None:
    config = settings(
        optimizer=optimizer, images_per_iteration=20, schedule="cosine", warmup_iterations=2
    )
    run = submitted(history, config)
    for stop_after, kind in ((1, "process"), (4, "queue"), (None, "queue")):
        driven = drive(history, make[kind](), run, stop_after=stop_after)
    assert driven.run.status is RunStatus.COMPLETED
    assert driven.digests == undisturbed(config)
    assert replayed(history, driven.run).same == [0, 1, 2, 3, 4, 5]


def test_a_run_is_not_continued_on_other_images_than_it_began_with(history: History) -> None:
    from dataclasses import replace

    from tapeworks.model.datasets import load

    run = submitted(history, settings())
    drive(history, LocalDispatcher(), run, stop_after=2)
    other = load(settings())
    images = other.training.images.copy()
    images[7, 13, 13] ^= 1
    changed = replace(other, training=replace(other.training, images=images))
    driver = Driver(
        history=history,
        dispatcher=LocalDispatcher(),
        stopped_status=RunStatus.PAUSED,
        load=lambda _: changed,
    )
    with pytest.raises(CannotContinueHere, match="began on other images"):
        driver.drive(history.claim(run.id, "somebody", 60))
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 2)


def test_a_scheduler_drives_queued_runs_in_the_order_of_their_submission(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    configs = [settings(iterations=3, seed=seed) for seed in (7, 8, 9)]
    wanted = [submitted(history, config) for config in configs]
    control, begun = Control(), list[str]()
    driver = Driver(
        history=history,
        dispatcher=CeleryDispatcher(fleet.redis_url),
        control=control,
        events=broadcast(
            on(RunClaimed, lambda event: begun.append(event.claim.run_id)),
            drain_after(control, wanted[-1].id),
        ),
    )
    serve(driver)
    assert begun == [run.id for run in wanted]
    ended = [history.find_run(run.id).ended_at for run in wanted]
    assert ended == sorted(ended, key=str)
    found = [history.find_run(run.id).parameters_digest for run in wanted]
    assert found == [undisturbed(config).parameters for config in configs]
