"""A replay finds an honest history equal, and refuses what cannot be computed again here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tapeworks.model.config import SUM_ORDER
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.errors import CannotContinueHere, CannotReplay, Interrupted
from tapeworks.scheduler.replay.differences import Difference
from tapeworks.scheduler.replay.replay import prepare
from tapeworks.scheduler.submission import retry
from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.support.desk import contents
from tests.support.forging import forge
from tests.support.replaying import SETTINGS, Bystander, Counting, Replayed, replayed, trained
from tests.support.training import drive, settings, submitted


def with_order(history: History, run: RunRecord, order: str | None) -> RunRecord:
    """The run as a version would have left it, in its middle, that made its sums in this order."""
    record = {name: value for name, value in run.configuration.items() if name != "sum_order"}
    record |= {"sum_order": order} if order else {}
    change = "configuration = :record, status = 'paused', completed_iterations = 3"
    forge(history, f"UPDATE stored_runs SET {change}", record=json.dumps(record))
    return history.find_run(run.id)


class TestAnHonestHistory:
    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"gradients": "summed"},
            {"microbatch_size": 8},
            {"microbatch_size": 1, "gradients": "summed"},
            {"checkpoint_every": 2},
            {"checkpoint_every": 10},
            {"record_images_every": 2},
            {"record_images_every": 10},
            {"unfolding": "full"},
            {"classes": (1, 2, 5), "test_images": 4},
        ],
        ids=str,
    )
    def test_has_the_same_bits(self, values: dict[str, Any], history: History) -> None:
        every = [0, 1, 2, 3, 4]
        assert replayed(history, trained(history, **values)) == Replayed(same=every, computed=every)

    @pytest.mark.parametrize(
        ("checkpoint_every", "wanted", "computed"),
        [
            (1, [range(3, 4)], [3]),
            (1, [range(3, 5), range(1, 2)], [1, 3, 4]),
            (1, [range(5), range(2, 3)], [0, 1, 2, 3, 4]),
            (2, [range(3, 4)], [2, 3]),
            (2, [range(1, 2), range(3, 4)], [0, 1, 2, 3]),
            (3, [range(4, 5), range(1, 2)], [0, 1, 3, 4]),
            (3, [range(2, 3), range(3, 4)], [0, 1, 2, 3]),
            (10, [range(1, 2), range(3, 4)], [0, 1, 2, 3]),
        ],
    )
    def test_is_computed_from_the_nearest_kept_parameters_and_no_iteration_twice(
        self, checkpoint_every: int, wanted: list[range], computed: list[int], history: History
    ) -> None:
        run = trained(history, checkpoint_every=checkpoint_every)
        assert prepare(history, run, wanted).iterations == computed
        assert replayed(history, run, *wanted) == Replayed(same=computed, computed=computed)

    def test_is_as_long_as_what_is_committed(self, history: History) -> None:
        run = submitted(history, settings(**SETTINGS))
        stopped = drive(history, LocalDispatcher(), run, stop_after=2).run
        assert replayed(history, stopped).same == [0, 1]
        with pytest.raises(IterationNotFound, match="no iteration 2 yet"):
            prepare(history, stopped, [range(1, 4)])
        with pytest.raises(IterationNotFound, match="no iteration 0 yet"):
            prepare(history, submitted(history, settings(**SETTINGS)), [])

    def test_may_go_on_while_it_is_replayed(self, history: History) -> None:
        run = submitted(history, settings(**SETTINGS, checkpoint_every=10))
        stopped = drive(history, LocalDispatcher(), run, stop_after=3).run
        replay, dispatcher = prepare(history, stopped, []), LocalDispatcher()
        drive(history, dispatcher, run)
        found = list(replay.compare(dispatcher, Bystander()))
        assert not [one for one in found if isinstance(one, Difference)]
        assert [one.iteration for one in found] == [0, 1, 2]

    def test_is_not_written_to(self, history: History, tmp_path: Path) -> None:
        run = trained(history)
        before = contents(tmp_path / "runs.db")
        replayed(history, run)
        assert contents(tmp_path / "runs.db") == before

    def test_tells_how_long_it_took_this_time(self, history: History) -> None:
        run = trained(history)
        forge(history, "UPDATE stored_iterations SET seconds = 1e9, workers = 7")
        for record in prepare(history, run, []).compare(LocalDispatcher(), Bystander()):
            assert not isinstance(record, Difference)
            assert record.workers == 1
            assert 0 < record.seconds < 1e9


class TestARunThatCannotBeReplayedHere:
    def test_another_fingerprint(self, history: History) -> None:
        run = trained(history)
        forge(history, "UPDATE stored_runs SET fingerprint = '0000'")
        replay = prepare(history, history.find_run(run.id), [])
        with pytest.raises(CannotContinueHere, match="fingerprint 0000; this one has"):
            list(replay.compare(LocalDispatcher(), Bystander()))

    @pytest.mark.parametrize("order", ["image order", None])
    def test_another_order_of_sums(self, order: str | None, history: History) -> None:
        run = with_order(history, trained(history), order)
        expected = f"expected '{SUM_ORDER}'. Received: {order or 'none'}."
        for go_on in (
            lambda: prepare(history, run, []),
            lambda: retry(history, run, after=2),
            lambda: drive(history, LocalDispatcher(), run),
        ):
            with pytest.raises(CannotContinueHere) as refused:
                go_on()
            assert expected in str(refused.value)

    def test_mixed_workers(self, history: History) -> None:
        run = trained(history, allow_mixed_workers=True)
        assert run.status is RunStatus.COMPLETED
        with pytest.raises(CannotReplay, match="different fingerprints"):
            prepare(history, run, [])

    def test_other_images(self, history: History) -> None:
        run = trained(history)
        forge(history, "UPDATE stored_runs SET images_digest = '0000'")
        with pytest.raises(CannotContinueHere, match="expected digest 0000"):
            prepare(history, history.find_run(run.id), [])


def test_a_replay_that_is_interrupted_leaves_its_dispatcher_in_order(history: History) -> None:
    class Impatient(Bystander):
        def tick(self, *, waiting: bool = False) -> None:
            raise Interrupted("at once")

    dispatcher = Counting()
    replay = prepare(history, trained(history), [])
    with pytest.raises(Interrupted):
        list(replay.compare(dispatcher, Impatient()))
    assert dispatcher.ended
