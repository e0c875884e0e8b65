"""A replay names the first place in which a doctored history differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model.parameters import digest, from_bytes, initial, to_bytes
from tapeworks.scheduler.dispatch.contract import Result, Watcher, Work
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.replay.differences import Difference
from tapeworks.scheduler.replay.replay import prepare
from tapeworks.storage.errors import IterationNotFound
from tapeworks.storage.history import History
from tapeworks.storage.packing import pack
from tests.support.forging import (
    Change,
    again,
    beginning,
    counting,
    emptied,
    forge,
    forge_ledger,
    without,
)
from tests.support.replaying import SETTINGS, replayed, trained
from tests.support.training import settings


class Faulty(LocalDispatcher):
    """A machine that miscalculates one sum in one iteration."""

    def compute(self, work: Work, watcher: Watcher) -> Result:
        result = super().compute(work, watcher)
        if work.iteration == 2:
            result.sums["conv_1"][0, 0, 0] += 0.001
        return result


def forge_image_value(history: History, iteration: int, name: str, place: int) -> None:
    """The smallest change that there is, of one image's value."""
    run_id = history.runs()[0].id
    values = history.image_values(run_id, iteration)
    content = bytearray(getattr(values, name))
    content[place * len(content) // SETTINGS["images"]] ^= 1
    values = replace(values, **{name: bytes(content)})
    forge(
        history,
        "UPDATE stored_iterations SET image_values = :values, predictions = :predictions "
        "WHERE iteration = :iteration",
        values=values.losses + (values.gradient_norms or b""),
        predictions=pack(values.predictions),
        iteration=iteration,
    )


def told(difference: Difference | None) -> tuple[int | None, str, int | None, int | None]:
    assert difference is not None
    assert difference.expected != difference.computed
    return difference.iteration, difference.what, difference.place, difference.image


class TestADoctoredHistory:
    @pytest.mark.parametrize(
        ("forgery", "iteration", "what"),
        [
            ("iterations SET loss = loss * (1 + 3e-16) WHERE iteration = 2", 2, "loss"),
            ("iterations SET accuracy = accuracy + 0.125 WHERE iteration = 4", 4, "accuracy"),
            ("iterations SET gradient_norm = 0 WHERE iteration = 0", 0, "gradient norm"),
            ("iterations SET images = 9 WHERE iteration = 1", 1, "images"),
            ("iterations SET parameters_digest = X'0f' WHERE iteration = 3", 3, "parameters"),
            ("checkpoints SET digest = 'f' WHERE completed_iterations = 2", 1, "stored parameters"),
            (
                "checkpoints SET digest = 'f' WHERE completed_iterations = 0",
                None,
                "initial parameters",
            ),
            ("runs SET first_loss = 1", 0, "the run's first loss"),
            ("runs SET final_loss = 1", 4, "the run's final loss"),
            ("runs SET parameters_digest = 'f'", 4, "the run's parameters"),
            ("iterations SET image_values = X'' WHERE iteration = 2", 2, "images' values"),
            ("iterations SET predictions = X'00ff' WHERE iteration = 2", 2, "images' values"),
        ],
    )
    def test_is_named_with_its_first_iteration(
        self, forgery: str, iteration: int | None, what: str, history: History
    ) -> None:
        run = trained(history)
        forge(history, f"UPDATE stored_{forgery}")
        found = replayed(history, history.find_run(run.id))
        assert told(found.difference) == (iteration, what, None, None)
        assert found.same == list(range(iteration or 0))

    @pytest.mark.parametrize(
        ("iteration", "what"), [(0, "images' values"), (2, None), (3, "images' values")]
    )
    def test_values_of_images_may_be_absent_where_the_settings_have_none(
        self, iteration: int, what: str | None, history: History
    ) -> None:
        run = trained(history, record_images_every=4)
        forge(
            history,
            "UPDATE stored_iterations SET image_values = X'', predictions = X'' "
            "WHERE iteration = :iteration",
            iteration=iteration,
        )
        difference = replayed(history, run).difference
        assert (difference and (difference.iteration, difference.what)) == (
            what and (iteration, what)
        )
        assert difference is None or difference.expected == "nothing"

    @pytest.mark.parametrize(
        ("forgery", "what"),
        [
            ("SET loss = loss * (1 + 3e-16)", "loss"),
            ("SET parameters_digest = X'0f'", "parameters"),
            ("SET ledger = '[[0,4,0,1,1,1]]'", "times counted"),
        ],
    )
    def test_is_named_where_no_values_of_images_are_stored(
        self, forgery: str, what: str, history: History
    ) -> None:
        run = trained(history, record_images_every=4)
        forge(history, f"UPDATE stored_iterations {forgery} WHERE iteration = 2")
        difference = replayed(history, run).difference
        assert difference is not None
        assert (difference.iteration, difference.what) == (2, what)

    @pytest.mark.parametrize(
        ("name", "what"),
        [("losses", "loss"), ("gradient_norms", "gradient norm"), ("predictions", "prediction")],
    )
    def test_is_named_with_the_image(self, name: str, what: str, history: History) -> None:
        run = trained(history)
        forge_image_value(history, 3, name, 5)
        forge_image_value(history, 3, "predictions", 7)
        forge_image_value(history, 4, "losses", 0)
        found = replayed(history, run)
        assert told(found.difference) == (3, what, 5, 5)
        assert found.same == [0, 1, 2]

    def test_tells_an_images_place_in_the_image_set_from_its_number_in_the_data(
        self, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backwards = range(SETTINGS["images"])[::-1]
        monkeypatch.setattr("tapeworks.scheduler.dispatch.contract.image_set", lambda *_: backwards)
        run = trained(history)
        assert replayed(history, run).difference is None
        forge_image_value(history, 1, "losses", 2)
        difference = replayed(history, run).difference
        assert told(difference) == (1, "loss", 2, 5)
        assert f"Run {run.id} differs first in iteration 1: loss of image 2 of the image set " in (
            str(difference)
        )
        assert "(number 5 in the data)" in str(difference)

    @pytest.mark.parametrize(
        ("forgery", "place", "image", "times"),
        [
            (without(1), 3, 3, 0),
            (emptied, 0, 0, 0),
            (counting(0, 4), 3, 3, 2),
            (counting(1, 2), 5, 5, 0),
            (counting(2, 9), 8, None, 1),
            (beginning(0, -1), -1, None, 1),
            (again(0, 4), 4, 4, 2),
        ],
    )
    def test_is_named_with_the_image_that_is_not_counted_once(
        self,
        forgery: Change,
        place: int,
        image: int | None,
        times: int,
        history: History,
        tmp_path: Path,
    ) -> None:
        run = trained(history)
        forge_ledger(tmp_path / "runs.db", 2, SETTINGS["microbatch_size"], forgery)
        found = replayed(history, run)
        assert told(found.difference) == (2, "times counted", place, image)
        assert found.difference is not None
        assert found.difference.expected == str(times)
        assert found.same == [0, 1]

    @pytest.mark.parametrize("claimed_too", [False, True])
    @pytest.mark.parametrize("wanted", [[], [range(3, 4)]])
    def test_stored_parameters_of_other_bits_are_named(
        self, claimed_too: bool, wanted: list[range], history: History
    ) -> None:
        run = trained(history)
        arrays = from_bytes(history.checkpoint(run.id, 3).parameters)
        payload = to_bytes(arrays | {"dense_1": -arrays["dense_1"]})
        forge(
            history,
            "UPDATE stored_checkpoints SET parameters = :parameters WHERE completed_iterations = 3",
            parameters=payload,
        )
        if claimed_too:
            forge(
                history,
                "UPDATE stored_checkpoints SET digest = :digest WHERE completed_iterations = 3",
                digest=digest(payload),
            )
        found = replayed(history, run, *wanted)
        assert told(found.difference) == (2, "stored parameters", None, None)
        assert found.difference is not None
        assert found.difference.computed == digest(payload)
        assert found.difference.expected == history.iterations(run.id)[2].parameters_digest
        assert found.same == ([] if wanted else [0, 1])

    @pytest.mark.parametrize(
        ("completed_iterations", "wanted"), [(2, []), (4, [range(3, 4)]), (5, [])]
    )
    def test_stored_parameters_that_are_gone_are_named(
        self, completed_iterations: int, wanted: list[range], history: History
    ) -> None:
        run = trained(history, checkpoint_every=2)
        forge(
            history,
            "DELETE FROM stored_checkpoints WHERE completed_iterations = :completed",
            completed=completed_iterations,
        )
        difference = replayed(history, run, *wanted).difference
        assert told(difference) == (completed_iterations - 1, "stored parameters", None, None)

    def test_other_initial_parameters_are_named_by_what_follows_from_them(
        self, history: History
    ) -> None:
        run = trained(history)
        payload = to_bytes(initial(settings(**SETTINGS).built_in, seed=99))
        change = (
            "UPDATE stored_checkpoints SET parameters = :parameters WHERE completed_iterations = 0"
        )
        forge(history, change, parameters=payload)
        found = replayed(history, run)
        assert told(found.difference) == (None, "initial parameters", None, None)
        assert "before its first iteration: initial parameters" in str(found.difference)
        assert found.computed == []
        change = "UPDATE stored_checkpoints SET digest = :digest WHERE completed_iterations = 0"
        forge(history, change, digest=digest(payload))
        assert told(replayed(history, run).difference) == (0, "loss", 0, 0)

    def test_initial_parameters_that_diverge_are_named(self, history: History) -> None:
        run = trained(history)
        shapes = settings(**SETTINGS).built_in.shapes
        huge = {name: np.full(shape, 1e30, np.float32) for name, shape in shapes.items()}
        forge(
            history,
            "UPDATE stored_checkpoints SET parameters = :parameters, digest = :digest "
            "WHERE completed_iterations = 0",
            parameters=to_bytes(huge),
            digest=digest(to_bytes(huge)),
        )
        assert told(replayed(history, run).difference) == (0, "loss or gradient", None, None)

    def test_an_iteration_that_was_removed_is_missed(self, history: History) -> None:
        run = trained(history)
        forge(history, "DELETE FROM stored_iterations WHERE iteration = 2")
        with pytest.raises(IterationNotFound, match="no iteration 2"):
            prepare(history, run, [])
        assert replayed(history, run, range(4, 5)).same == [4]

    @pytest.mark.parametrize("wanted", [[], [range(2, 3)], [range(4, 5)]])
    def test_a_miscalculation_is_named_with_the_iteration_in_which_it_happened(
        self, wanted: list[range], history: History
    ) -> None:
        run = trained(history, Faulty(), checkpoint_every=10)
        found = replayed(history, run, *wanted)
        assert told(found.difference) == (2, "gradient norm", None, None)
