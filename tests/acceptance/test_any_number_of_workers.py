"""The same bits for any number of workers, any sharding, both gradient forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.fleet import Fleet
from tests.support.training import Digests, drive, settings, submitted

Undisturbed = Callable[[RunConfig], Digests]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_bits_of_one_process(
    workers: int, shared_fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    shared_fleet.resize(workers)
    config = settings()
    driven = drive(history, CeleryDispatcher(shared_fleet.redis_url), submitted(history, config))
    assert driven.digests == undisturbed(config)
    assert driven.run.status is RunStatus.COMPLETED
    names = {entry.worker for entry in history.ledger(driven.run.id)}
    assert names <= {worker.name for worker in shared_fleet.exchange.workers()}


@pytest.mark.parametrize("gradients", ["per-image", "summed"])
@pytest.mark.parametrize("shards", [1, 3, 7])
def test_any_sharding_and_both_gradient_forms_give_the_same_bits(
    shards: int, gradients: str, fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings(shards=shards, gradients=gradients))
    driven = drive(history, CeleryDispatcher(fleet.redis_url), run)
    assert driven.digests == undisturbed(settings())
    assert {record.shards for record in history.iterations(run.id)} == {shards}


def test_one_process_gives_the_same_bits_twice_and_for_both_gradient_forms(
    history: History, undisturbed: Undisturbed
) -> None:
    again = drive(history, LocalDispatcher(), submitted(history, settings(gradients="summed")))
    assert again.digests == undisturbed(settings())


@pytest.mark.parametrize(
    "changed", [{"seed": 8}, {"learning_rate": 0.002}, {"classes": (3, 5)}, {"images": 49}]
)
def test_another_configuration_gives_other_bits(
    changed: dict[str, object], undisturbed: Undisturbed
) -> None:
    other, usual = undisturbed(settings(**changed)), undisturbed(settings())
    assert other.parameters != usual.parameters
    assert other.history != usual.history


def test_keeping_fewer_checkpoints_changes_no_bit(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings(checkpoint_every=4))
    driven = drive(history, CeleryDispatcher(fleet.redis_url), run)
    assert driven.digests == undisturbed(settings())
    assert history.checkpoint(run.id).completed_iterations == 6
    assert history.checkpoint(run.id, 4).digest == history.iterations(run.id)[3].parameters_digest


def test_held_out_images_are_judged_alike_through_the_queue_and_without(
    fleet: Fleet, history: History
) -> None:
    config = settings(test_images=30, iterations=3, evaluate_every=1)
    local = drive(history, LocalDispatcher(), submitted(history, config))
    queued = drive(history, CeleryDispatcher(fleet.redis_url), submitted(history, config))
    here, there = history.evaluations(local.run.id), history.evaluations(queued.run.id)
    assert [replace(one, run_id=local.run.id) for one in there] == here
    assert [(one.images, one.completed_iterations) for one in there] == [(30, 1), (30, 2), (30, 3)]
    assert queued.digests == local.digests
    assert queued.said("answer_invalid") == []
