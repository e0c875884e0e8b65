"""Runs with an optimizer that remembers: what is stored of it, and that they go on and replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.engine.gradients import Engine
from tapeworks.model.errors import ParametersError
from tapeworks.model.images import image_set
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, digest, from_bytes, initial, to_bytes
from tapeworks.model.update import initial_state, learning_rate, state_bytes
from tapeworks.scheduler.dispatch.contract import Result, Watcher, Work
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.errors import RunFailed
from tapeworks.scheduler.submission import retry
from tapeworks.storage.checkpoints import digest_of
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.reference_numpy import image_set_sum, microbatch_sum
from tests.reference_optimizers import Adam, moved
from tests.support.desk import SMALL
from tests.support.replaying import Replayed, replayed
from tests.support.training import Digests, drive, settings, submitted

EngineOf = Callable[[BuiltinNetwork], Engine]
Undisturbed = Callable[[RunConfig], Digests]

#: Two passes over eight images in sets of 3, 3 and 2; the learning rate changes all the time.
SETTINGS: dict[str, Any] = SMALL | {
    "iterations": 6,
    "images_per_iteration": 3,
    "microbatch_size": 2,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "warmup_iterations": 2,
}
OPTIMIZERS = pytest.mark.parametrize("optimizer", ["momentum", "adam"])


def trained(history: History, **values: Any) -> RunRecord:
    run = submitted(history, settings(**SETTINGS | values))
    return drive(history, LocalDispatcher(), run).run


def forge_state(history: History, completed: int, state: bytes | None) -> None:
    """Put another state in its place, with the digest of it."""
    query = (
        "UPDATE stored_checkpoints SET optimizer_state = :state, state_digest = :digest "
        "WHERE completed_iterations = :completed"
    )
    values = {"state": state, "digest": digest_of(state), "completed": completed}
    with history.database.write() as connection:
        assert connection.execute(text(query), values).rowcount == 1


def other_state(history: History, run: RunRecord, completed: int) -> bytes:
    """The stored state with one bit of it changed."""
    state = history.checkpoint(run.id, completed).optimizer_state
    assert state is not None
    arrays = {name: array.copy() for name, array in from_bytes(state).items()}
    arrays[min(name for name in arrays if "dense_1" in name)].view(np.uint32)[0, 0, 0, 0] ^= 1
    return to_bytes(arrays)


def test_a_run_is_what_plain_loops_make_of_its_images_and_rates(
    history: History, engine_of: EngineOf
) -> None:
    config = settings(**SETTINGS, optimizer="adam")
    run = submitted(history, config)
    drive(history, LocalDispatcher(), run)

    data, parameters = datasets.load(config).training, initial(config.built_in, config.seed)
    loops = {
        (name, place): Adam(0.9, 0.999, 1e-8)
        for name, array in parameters.items()
        for place in np.ndindex(array.shape)
    }
    for iteration in range(config.iterations):
        gradient = _mean_gradient(engine_of, config, iteration, parameters, data)
        rate = learning_rate(config, iteration)
        for (name, place), adam in loops.items():
            towards = adam.towards(float(gradient[name][place]))
            parameters[name][place] = moved(float(parameters[name][place]), towards, rate)

    assert history.checkpoint(run.id).digest == digest(to_bytes(parameters))
    assert [record.images for record in history.iterations(run.id)] == [3, 3, 2, 3, 3, 2]


def _mean_gradient(
    engine_of: EngineOf, config: RunConfig, iteration: int, parameters: Arrays, data: Any
) -> Arrays:
    images, sums, size = image_set(config, iteration), [], config.built_in.microbatch_size
    for first in range(0, len(images), size):
        rows = images[first : first + size]
        result = engine_of(config.built_in)(parameters, data.images[rows], data.labels[rows])
        sums.append({name: microbatch_sum(array) for name, array in result.gradients.items()})
    totals = {name: image_set_sum([arrays[name] for arrays in sums]) for name in parameters}
    return {name: (total / len(images)).astype(np.float32) for name, total in totals.items()}


@OPTIMIZERS
@pytest.mark.parametrize("checkpoint_every", [1, 4])
def test_a_run_that_was_stopped_before_every_iteration_has_the_same_bits(
    optimizer: str, checkpoint_every: int, history: History, undisturbed: Undisturbed
) -> None:
    config = settings(**SETTINGS, optimizer=optimizer, checkpoint_every=checkpoint_every)
    run = submitted(history, config)
    for done in range(1, 7):
        driven = drive(history, LocalDispatcher(), run, stop_after=done)

    assert driven.run.status is RunStatus.COMPLETED
    assert driven.digests == undisturbed(config)
    assert driven.digests.parameters != undisturbed(settings(**SETTINGS)).parameters


@OPTIMIZERS
def test_every_checkpoint_has_its_state_from_the_first_on(optimizer: str, history: History) -> None:
    run = trained(history, optimizer=optimizer, checkpoint_every=2)
    config = settings(**SETTINGS, optimizer=optimizer)

    states = [history.checkpoint(run.id, done).optimizer_state for done in (0, 2, 4, 6)]

    assert states[0] == state_bytes(initial_state(config))
    assert len(set(states)) == 4
    assert all(state and set(from_bytes(state)) == set(initial_state(config)) for state in states)


def test_plain_sgd_stores_no_state(history: History) -> None:
    run = trained(history)

    assert {history.checkpoint(run.id, done).optimizer_state for done in range(7)} == {None}


@pytest.mark.parametrize(
    "state", [None, to_bytes({"conv_1.velocity": np.zeros((1, 3, 3), np.float32)})]
)
def test_a_run_does_not_go_on_without_its_state(state: bytes | None, history: History) -> None:
    run = submitted(history, settings(**SETTINGS, optimizer="momentum"))
    drive(history, LocalDispatcher(), run, stop_after=2)
    forge_state(history, 2, state)

    with pytest.raises(ParametersError, match="Expected what the optimizer momentum remembers"):
        drive(history, LocalDispatcher(), run)

    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 2)


class Exaggerating(LocalDispatcher):
    """Finds sums whose squares are beyond float32, and losses like anybody's."""

    def compute(self, work: Work, watcher: Watcher) -> Result:
        result = super().compute(work, watcher)
        sums = {name: np.full_like(array, 1e25) for name, array in result.sums.items()}
        return replace(result, sums=sums)


def test_a_state_that_is_no_number_ends_the_run_although_the_parameters_stand(
    history: History,
) -> None:
    run = submitted(history, settings(**SETTINGS, optimizer="adam"))

    with pytest.raises(RunFailed, match="became NaN or infinite in iteration 0"):
        drive(history, Exaggerating(), run)

    assert history.find_run(run.id).status is RunStatus.FAILED


# Retries


@OPTIMIZERS
def test_a_retry_from_a_checkpoint_goes_on_with_its_state(
    optimizer: str, history: History, undisturbed: Undisturbed
) -> None:
    run = trained(history, optimizer=optimizer)

    again = drive(history, LocalDispatcher(), retry(history, run, after=4)).run

    expected = undisturbed(settings(**SETTINGS, optimizer=optimizer))
    assert again.parameters_digest == run.parameters_digest == expected.parameters
    assert replayed(history, again).same == [4, 5]


def test_a_retry_with_another_optimizer_begins_with_nothing_remembered(history: History) -> None:
    run = trained(history, optimizer="momentum")

    other = retry(history, run, after=4, changes={"optimizer": "adam"})

    config = settings(**SETTINGS, optimizer="adam")
    assert history.checkpoint(other.id).optimizer_state == state_bytes(initial_state(config))
    assert drive(history, LocalDispatcher(), other).run.status is RunStatus.COMPLETED
    plain = retry(history, run, after=4, changes={"optimizer": "sgd"})
    assert history.checkpoint(plain.id).optimizer_state is None
    assert drive(history, LocalDispatcher(), plain).run.status is RunStatus.COMPLETED


# Replays


@OPTIMIZERS
@pytest.mark.parametrize("wanted", [[], [range(5, 6)], [range(1, 2), range(4, 6)]])
def test_a_replay_begins_with_the_state_that_was_kept(
    optimizer: str, wanted: list[range], history: History
) -> None:
    run = trained(history, optimizer=optimizer, checkpoint_every=2)

    found = replayed(history, run, *wanted)

    assert found.difference is None
    assert found.same == {0: [0, 1, 2, 3, 4, 5], 1: [4, 5], 2: [0, 1, 4, 5]}[len(wanted)]


@OPTIMIZERS
def test_a_doctored_state_is_a_difference(optimizer: str, history: History) -> None:
    run = trained(history, optimizer=optimizer)
    forged = other_state(history, run, 3)
    state = history.checkpoint(run.id, 3).optimizer_state
    assert state is not None
    forge_state(history, 3, forged)

    found = replayed(history, run)

    assert found.same == [0, 1]
    assert found.difference is not None
    assert (found.difference.iteration, found.difference.what) == (2, "stored optimizer state")
    assert found.difference.expected == digest(forged)
    assert found.difference.computed == digest(state)


def test_a_doctored_state_is_found_by_the_parameters_that_follow_from_it(history: History) -> None:
    run = trained(history, optimizer="momentum")
    arrays = from_bytes(other_state(history, run, 3))
    arrays["conv_1.velocity"] += np.float32(0.01)
    forge_state(history, 3, to_bytes(arrays))

    difference = replayed(history, run, range(3, 4)).difference

    assert difference is not None
    assert (difference.iteration, difference.what) == (3, "parameters")


@pytest.mark.parametrize(
    ("completed", "wanted", "told"),
    [
        (0, [], (None, "initial optimizer state")),
        (3, [range(3, 5)], (2, "stored optimizer state")),
        (3, [], (2, "stored optimizer state")),
    ],
)
@pytest.mark.parametrize("state", [None, b"nonsense"])
def test_a_state_that_is_gone_or_spoilt_is_a_difference(
    state: bytes | None,
    completed: int,
    wanted: list[range],
    told: tuple[int | None, str],
    history: History,
) -> None:
    run = trained(history, optimizer="adam")
    forge_state(history, completed, state)

    difference = replayed(history, run, *wanted).difference

    assert difference is not None
    assert (difference.iteration, difference.what) == told
    assert difference.expected == (digest(state) if state else "nothing")


def test_a_state_that_plain_sgd_cannot_have_left_is_a_difference(history: History) -> None:
    run = trained(history)
    forge_state(history, 2, state_bytes(initial_state(settings(**SETTINGS, optimizer="adam"))))

    assert replayed(history, run).difference is not None
    assert replayed(history, run, range(4, 6)) == Replayed(same=[4, 5], computed=[4, 5])
