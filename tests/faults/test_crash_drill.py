"""A process that ends at any of the crash points costs nothing: the run comes to the same bits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.faults import crash
from tests.support.fleet import Fleet, running_fleet
from tests.support.processes import Start, Started, processes
from tests.support.training import Digests, database, digests, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Of the microbatches: what every worker compiles for its fingerprint, so that it is ready soon.
SIZE = BuiltinNetwork().microbatch_size

#: Four microbatches in three shards, six times, and an evaluation after the fifth and the last.
IMAGES, ITERATIONS, HELD_OUT, EVALUATED = 4 * SIZE, 6, 8, 5

#: Drills that go on side by side.
AT_ONCE = 4

Undisturbed = Callable[[RunConfig], Digests]


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A crash point of a scheduler, and the run in the history when it has ended there."""

    at: str
    completed: Collection[int]  #: iterations, as many as may be committed by then
    status: RunStatus = RunStatus.RUNNING
    evaluations: int = 0
    workers: int = 2  #: at the Redis of the scheduler that ends


#: Some more than once: the middle of a run is not like its beginning. A count of messages or of
#: transactions gives no exact iteration, as messages may be sent again. Nor does one of computed
#: iterations: as many of them are committed as were computed half a second before, the first one
#: in any case; nothing waits when an evaluation begins.
OF_SCHEDULERS = [
    Drill(at="before_commit", completed=[0], status=RunStatus.QUEUED),
    Drill(at="after_commit", completed=[0]),
    Drill(at="RunClaimed", completed=[0]),
    Drill(at="Alive:2", completed=[0]),
    Drill(at="after_commit:2", completed=[0]),  # SQL knows its images
    Drill(at="RunAnnounced", completed=[0]),
    Drill(at="ImagesPublished", completed=[0]),
    Drill(at="IterationAnnounced", completed=[0]),
    Drill(at="AttemptSent", completed=[0]),
    Drill(at="ShardsOutstanding", completed=[0]),
    Drill(at="AnswerJudged", completed=[0]),
    Drill(at="IterationComputed", completed=[0]),
    Drill(at="IterationAnnounced:2", completed=[0]),
    Drill(at="ShardsOutstanding:8", completed=range(4)),
    Drill(at="AttemptSent:12", completed=range(4)),
    Drill(at="AnswerJudged:8", completed=range(3)),
    Drill(at="IterationComputed:4", completed=range(1, 4)),
    Drill(at="IterationAnnounced:5", completed=range(1, 5)),
    Drill(at="before_commit:4", completed=range(2)),
    Drill(at="after_commit:4", completed=range(EVALUATED + 1)),
    Drill(at="IterationCommitted", completed=[1]),
    Drill(at="IterationCommitted:2", completed=range(2, EVALUATED + 1)),
    Drill(at=f"AnswerJudged:{3 * EVALUATED + 1}", completed=range(1, EVALUATED + 1)),
    Drill(at="EvaluationStored", completed=[EVALUATED], evaluations=1),
    Drill(at="EvaluationStored:2", completed=[ITERATIONS], evaluations=2),
    Drill(at="RunLeft", completed=[ITERATIONS], evaluations=2, status=RunStatus.COMPLETED),
    Drill(at="RunReleased", completed=[ITERATIONS], evaluations=2, status=RunStatus.COMPLETED),
    Drill(at="Notice", completed=[0], workers=0),
    Drill(at="LeaseRenewed", completed=[0], workers=0),
]

#: One worker each. All together they answer fewer messages than the run has.
OF_WORKERS = [
    "WorkerStarted",
    "WorkerReady",
    "AttemptTaken:2",
    "AttemptComputed:3",
    "AttemptAnswered:3",
]

#: An end in order leaves nothing to recover; a stale message is dropped without a trace.
NOT_DRILLED = {"DriverEnded", "AttemptDropped"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run on digits in a file: a scheduler would take seconds to load scikit-learn for them."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    shape = {"images": IMAGES, "test_images": HELD_OUT, "microbatch_size": SIZE}
    loaded = datasets.load(settings(**shape))
    parts = loaded.training, loaded.test
    np.savez(
        path,
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([np.array([3, 6])[part.labels] for part in parts]),
    )
    run = {"iterations": ITERATIONS, "evaluate_every": EVALUATED}
    return settings(**shape, **run, dataset=str(path), shards=3)


def test_every_crash_point_is_drilled() -> None:
    drilled = {at.partition(":")[0] for at in [*(one.at for one in OF_SCHEDULERS), *OF_WORKERS]}
    assert drilled == {*crash.OF_SCHEDULERS, *crash.OF_WORKERS} - NOT_DRILLED
    assert len(drilled) >= 20


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The traces of a drill, at first and in the end."""

    doomed: Started
    left: RunRecord
    left_evaluations: int
    run: RunRecord
    bits: Digests
    counted: dict[int, list[int]]  #: by iteration, in the order of the ledger


@pytest.fixture(scope="module")
def drills(
    shared_fleet: Fleet, config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Seen]]]:
    """All schedulers' drills, on their way."""
    shared_fleet.at_least(2)
    with running_fleet() as nobody, ThreadPoolExecutor(AT_ONCE) as pool:

        def begin(one: Drill) -> Future[Seen]:
            directory = tmp_path_factory.mktemp(one.at.partition(":")[0])
            database(directory).database.close()  # here, as Alembic serves one thread at a time
            first = shared_fleet if one.workers else nobody
            urls = first.redis_url, shared_fleet.redis_url
            return pool.submit(seen, one, config, directory, *urls)

        yield {one.at: begin(one) for one in OF_SCHEDULERS}
        pool.shutdown(cancel_futures=True)


def seen(
    one: Drill, config: RunConfig, directory: Path, first_redis_url: str, redis_url: str
) -> Seen:
    """Let one scheduler end in the middle of a run, and another bring it to its end."""
    with closing(database(directory).database) as opened, in_places(directory) as start:
        history = History(opened)
        run = submitted(history, config)
        doomed = start(
            one.at, "scheduler", module="tests.faults.crash", TAPEWORKS_REDIS_URL=first_redis_url
        )
        doomed.ended()
        left, evaluations = history.find_run(run.id), history.evaluations(run.id)
        start("scheduler", TAPEWORKS_REDIS_URL=redis_url)
        completed(history, run)
        return Seen(
            doomed=doomed,
            left=left,
            left_evaluations=len(evaluations),
            run=history.find_run(run.id),
            bits=digests(history, run.id),
            counted=counted(history, run),
        )


def in_places(directory: Path) -> AbstractContextManager[Start]:
    """Starts processes whose history is in this directory."""
    return processes(directory, {"TAPEWORKS_DATABASE_URL": str(directory / "runs.db")})


def completed(history: History, run: RunRecord) -> None:
    def status() -> RunStatus:
        return history.find_run(run.id).status

    until(lambda: status() is RunStatus.COMPLETED, "the run is completed")


def counted(history: History, run: RunRecord) -> dict[int, list[int]]:
    """The images of every iteration that the ledger counts."""
    images: dict[int, list[int]] = {}
    for line in history.ledger(run.id):
        last = line.first_image + line.image_count
        images.setdefault(line.iteration, []).extend(range(line.first_image, last))
    return images


EVERY_IMAGE_ONCE = {iteration: list(range(IMAGES)) for iteration in range(ITERATIONS)}


def assert_ended_at(doomed: Started, at: str) -> None:
    assert doomed.ended() == -signal.SIGKILL, doomed.err
    assert f"ending at {at.partition(':')[0]}\n" in doomed.err


@pytest.mark.parametrize("one", OF_SCHEDULERS, ids=lambda one: one.at)
def test_a_run_survives_its_scheduler(
    one: Drill, drills: dict[str, Future[Seen]], config: RunConfig, undisturbed: Undisturbed
) -> None:
    seen = drills[one.at].result()
    assert_ended_at(seen.doomed, one.at)
    assert seen.left.status is one.status
    assert seen.left.completed_iterations in one.completed
    assert seen.left_evaluations == one.evaluations

    assert seen.bits == undisturbed(config)
    assert seen.counted == EVERY_IMAGE_ONCE
    taken_over = one.status is RunStatus.RUNNING
    assert seen.run.term == (2 if taken_over else 1)


def test_a_run_survives_its_workers(
    tmp_path: Path, config: RunConfig, undisturbed: Undisturbed
) -> None:
    with (
        closing(database(tmp_path).database) as opened,
        running_fleet() as fleet,
        in_places(tmp_path) as start,
    ):
        history = History(opened)
        run = submitted(history, config)
        redis = {"TAPEWORKS_REDIS_URL": fleet.redis_url}
        doomed = {
            at: start(at, "worker", module="tests.faults.crash", **redis) for at in OF_WORKERS
        }
        start("scheduler", **redis)
        for at, worker in doomed.items():
            assert_ended_at(worker, at)
        left = history.find_run(run.id)
        assert left.status is RunStatus.RUNNING
        assert 0 < left.completed_iterations < ITERATIONS

        fleet.resize(1)
        completed(history, run)
        assert digests(history, run.id) == undisturbed(config)
        assert counted(history, run) == EVERY_IMAGE_ONCE
        assert history.find_run(run.id).term == 1
