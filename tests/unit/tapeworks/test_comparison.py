"""Differences between runs, found in histories whose every number was chosen by hand."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tapeworks.comparison.runs import (
    AT_ONCE,
    Pair,
    Parting,
    contender,
    differing,
    differing_facts,
    differing_settings,
    first_parting,
    pairs,
)
from tapeworks.comparison.texts import (
    LONGEST_LABEL,
    named_labels,
    picture_labels,
    reference_labels,
    shorten,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import ImageValues, IterationRecord, RunRecord
from tests.support.made_up import iteration_of, submit_and_claim, values_of
from tests.support.stories import evaluated, tell

LOSSES = [[3.0, 1.0], [2.0, 0.5], [1.0, 0.25]]


def compared(history: History, *runs: RunRecord) -> list[Pair]:
    return pairs(history, [contender(history, run) for run in runs])


class TestWhatDiffers:
    def test_only_names_whose_values_are_not_all_equal(self) -> None:
        found = differing([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5}, {"a": 1, "b": 2, "c": 3}])
        assert found == {"b": [2, 5, 2], "c": [3, None, 3]}

    def test_settings(self, history: History) -> None:
        runs = [
            tell(history, LOSSES, settings={"learning_rate": rate, "seed": seed})
            for rate, seed in [(0.001, 1), (0.01, 1), (0.001, 2)]
        ]
        different = differing_settings(runs)
        assert different == {"learning_rate": [0.001, 0.01, 0.001], "seed": [1, 1, 2]}

    def test_networks_and_each_of_their_options(self, history: History) -> None:
        one, other, built_in = (
            tell(history, [], network_source=source, stored={"network": name, "options": options})
            for name, source, options in [
                ("lenet.py", "a", {"hidden": 64, "rate": 0.5}),
                ("mlp.py", "b", {"hidden": 128, "rate": 0.5}),
                ("built-in", None, {}),
            ]
        )
        assert differing_settings([one, other]) == {
            "network": ["lenet.py", "mlp.py"],
            "option.hidden": [64, 128],
        }
        assert differing_settings([one, built_in])["option.rate"] == [0.5, None]
        facts = differing_facts([contender(history, run) for run in (one, other, built_in)])
        assert facts == {"network_digest": [one.network_digest, other.network_digest, None]}

    @pytest.mark.parametrize(
        ("source", "name", "options", "is_same"),
        [
            ("a", "lenet.py", {"hidden": 64}, True),
            ("a", "copied.py", {"hidden": 64}, True),
            ("b", "lenet.py", {"hidden": 64}, False),
            ("a", "lenet.py", {"hidden": 65}, False),
        ],
    )
    def test_one_network_with_the_same_options_is_one_configuration(
        self, history: History, source: str, name: str, options: dict[str, Any], is_same: bool
    ) -> None:
        first = {"network": "lenet.py", "options": {"hidden": 64}, "network_facts": {"a": 1}}
        second = {"network": name, "options": options, "network_facts": {"a": 2}}
        runs = [
            tell(history, LOSSES, network_source="a", stored=first, predicts=False),
            tell(history, LOSSES, network_source=source, stored=second, predicts=False),
        ]
        found = compared(history, *runs)
        assert len(found) == is_same
        assert [pair.parting for pair in found] == [None] * is_same

    def test_a_setting_that_did_not_exist_yet_had_its_default(self, history: History) -> None:
        new = tell(history, LOSSES, settings={"audit": 0.5})
        older = {name: value for name, value in new.configuration.items() if name != "audit"}
        assert differing_settings([replace(new, configuration=older), new]) == {"audit": [0.0, 0.5]}

    def test_notes_tags_status_and_fingerprints(self, history: History) -> None:
        one = tell(history, LOSSES, note="first", tags={"grid": "a", "kept": "yes"})
        other = tell(history, [], tags={"grid": "b", "kept": "yes"})
        assert differing_facts([contender(history, run) for run in (one, other)]) == {
            "status": ["completed", "queued"],
            "completed_iterations": [3, 0],
            "note": ["first", None],
            "fingerprint": ["avx2", None],
            "images_digest": ["images", None],
            "tag grid": ["a", "b"],
        }


class TestTheLossesOfARun:
    def test_the_lowest_is_that_per_image_and_the_first_of_equals(self, history: History) -> None:
        run = tell(history, [[4.0, 4.0], [3.0], [2.0, 2.0], [2.0]], settings={"images": 2})
        lowest = contender(history, run).lowest
        assert lowest is not None
        assert (lowest.iteration, lowest.loss) == (2, 4.0)

    def test_the_best_evaluation_is_the_first_of_the_highest_accuracy(
        self, history: History
    ) -> None:
        run = tell(
            history,
            LOSSES,
            evaluations=[evaluated(1, 3, 0.5), evaluated(2, 2, 0.75), evaluated(3, 1, 0.75)],
        )
        best = contender(history, run).best
        assert best is not None
        assert best.completed_iterations == 2

    def test_a_run_without_iterations_has_none(self, history: History) -> None:
        nothing = contender(history, tell(history, []))
        assert (nothing.lowest, nothing.best, nothing.losses) == (None, None, [])


class TestTheBitsOfRunsOfOneConfiguration:
    def test_equal_runs_have_the_same_bits_whatever_computed_them(self, history: History) -> None:
        one = tell(history, LOSSES)
        other = tell(history, LOSSES, settings={"shards": 5, "gradients": "summed", "audit": 0.1})
        [pair] = compared(history, one, other)
        assert pair == Pair(
            one=one.id, other=other.id, iterations=3, recorded=3, parting=None, promised=True
        )

    def test_what_one_of_them_did_not_record_is_compared_by_its_sums(
        self, history: History
    ) -> None:
        one, other = [[0.5, 1.5]] * 5, [[0.5, 1.5]] * 5
        settings = {"record_images_every": 3}
        usual, seldom = tell(history, one), tell(history, other, settings=settings)
        [pair] = compared(history, usual, seldom)
        assert (pair.iterations, pair.recorded, pair.parting) == (5, 3, None)

        other[3] = [1.5, 0.75]
        [pair] = compared(history, usual, tell(history, other, settings=settings))
        assert pair.parting is not None
        assert str(pair.parting) == "the loss in iteration 3: 2.0 against 2.25"

    def test_runs_of_other_configurations_are_not_compared(self, history: History) -> None:
        runs = [tell(history, LOSSES, settings={"seed": seed}) for seed in (1, 2, 3)]
        assert compared(history, *runs) == []

    def test_each_of_a_configuration_stands_beside_its_first(self, history: History) -> None:
        runs = [tell(history, LOSSES, settings={"seed": seed}) for seed in (1, 2, 1, 2, 1)]
        found = [(pair.one, pair.other) for pair in compared(history, *runs)]
        places = [(runs.index(one), runs.index(other)) for one, other in _known(runs, found)]
        assert places == [(0, 2), (0, 4), (1, 3)]

    def test_the_first_image_that_differs_is_named_by_its_number(self, history: History) -> None:
        next_to = float(np.nextafter(np.float32(0.5), np.float32(1)))
        changed = [LOSSES[0], [2.0, next_to], [9.0, 9.0]]
        numbers = [[0, 1], [6, 4], [0, 1]]
        settings = {"images": 7}
        runs = [
            tell(history, losses, numbers=numbers, settings=settings)
            for losses in (LOSSES, changed)
        ]
        [pair] = compared(history, *runs)
        assert pair.parting == Parting(
            iteration=1, what="loss", values=("0.5", "0.50000006"), image=4
        )

    def test_what_only_one_run_has_is_not_compared(self, history: History) -> None:
        shorter = tell(history, LOSSES[:2])
        [pair] = compared(history, tell(history, LOSSES), shorter)
        assert (pair.iterations, pair.parting) == (2, None)
        [pair] = compared(history, shorter, tell(history, []))
        assert (pair.iterations, pair.parting) == (0, None)

    def test_more_iterations_are_another_configuration_where_the_learning_rate_follows_them(
        self, history: History
    ) -> None:
        runs = [tell(history, LOSSES), tell(history, LOSSES, settings={"iterations": 9})]
        assert len(compared(history, *runs)) == 1
        scheduled = [
            replace(run, configuration=run.configuration | {"schedule": "cosine"}) for run in runs
        ]
        assert compared(history, *scheduled) == []

    def test_a_difference_behind_many_equal_iterations_is_found(self, history: History) -> None:
        losses = [[1.0, 2.0]] * (AT_ONCE + 2)
        changed = [*losses[:-1], [1.0, 3.0]]
        [pair] = compared(history, tell(history, losses), tell(history, changed))
        assert pair.parting is not None
        assert (pair.parting.iteration, pair.parting.image) == (AT_ONCE + 1, 1)

    def test_networks_whose_gradients_are_computed_otherwise_are_compared_with_nothing(
        self, history: History
    ) -> None:
        runs = [
            tell(history, LOSSES, stored={"network_facts": {"backward": backward}})
            for backward in ("microbatch", "vectorized", "microbatch")
        ]

        [pair] = compared(history, *runs)

        assert {pair.one, pair.other} == {runs[0].id, runs[2].id}

    def test_other_images_or_initial_parameters_differ_before_the_first_iteration(
        self, history: History
    ) -> None:
        usual = tell(history, LOSSES)
        others = {
            "images": tell(history, LOSSES, images_digest="others"),
            "initial parameters": tell(history, LOSSES, initial=b"given"),
        }
        for what, other in others.items():
            [pair] = compared(history, usual, other)
            assert pair.parting is not None
            assert (pair.parting.iteration, pair.parting.what) == (None, what)

    @pytest.mark.parametrize(
        ("fingerprints", "settings"),
        [(("avx2", "sse4"), {}), (("avx2", "avx2"), {"allow_mixed_workers": True})],
    )
    def test_workers_of_several_fingerprints_promise_nothing(
        self, fingerprints: Sequence[str], settings: dict[str, bool], history: History
    ) -> None:
        runs = [
            tell(history, LOSSES, fingerprint=fingerprint, settings=settings)
            for fingerprint in fingerprints
        ]
        [pair] = compared(history, *runs)
        assert not pair.promised


class TestTheFirstParting:
    @pytest.fixture
    def stored(self, history: History) -> tuple[IterationRecord, ImageValues]:
        return iteration_of(submit_and_claim(history)), values_of()

    @pytest.mark.parametrize(
        ("name", "value", "what"),
        [
            ("loss", 34.0, "loss"),
            ("accuracy", 0.25, "accuracy"),
            ("gradient_norm", -0.1, "gradient norm"),
            ("parameters_digest", "0", "parameters digest"),
        ],
    )
    def test_of_numbers_of_the_iteration(
        self, name: str, value: Any, what: str, stored: tuple[IterationRecord, ImageValues]
    ) -> None:
        record, values = stored
        changed = replace(record, **{name: value})
        parting = first_parting([stored], [(changed, values)])
        assert parting is not None
        assert (parting.what, parting.image) == (what, None)
        assert parting.values == (str(getattr(record, name)), str(value))

    def test_zeros_of_different_signs_are_different_bits(
        self, stored: tuple[IterationRecord, ImageValues]
    ) -> None:
        record, values = stored
        zero, minus = replace(record, loss=0.0), replace(record, loss=-0.0)
        assert first_parting([(zero, values)], [(minus, values)]) is not None
        assert first_parting([(zero, values)], [(zero, values)]) is None

    def test_images_come_before_their_sum_and_the_first_of_them_is_named(
        self, stored: tuple[IterationRecord, ImageValues]
    ) -> None:
        record, values = stored
        assert values.gradient_norms
        assert values.predictions
        norms = array("f", values.gradient_norms)
        norms[7] = 100.0
        predictions = bytes([*values.predictions[:9], 1, *values.predictions[10:]])
        changed = replace(values, gradient_norms=norms.tobytes(), predictions=predictions)
        parting = first_parting([stored], [(replace(record, loss=0.0), changed)])
        assert parting == Parting(
            iteration=0, what="gradient norm", values=("2.3333333", "100.0"), image=7
        )


class TestLabels:
    def test_a_table_names_a_run_by_a_name_of_its_own_or_by_its_id(self, history: History) -> None:
        names = ["one", "twice", None, "twice"]
        runs = [tell(history, [], name=name) for name in names]
        assert reference_labels(runs) == ["one", runs[1].id, runs[2].id, runs[3].id]

    def test_a_picture_names_nameless_runs_by_the_settings_that_differ_among_them(
        self, history: History
    ) -> None:
        grid = [
            tell(history, [], settings={"learning_rate": rate, "seed": seed}, name="grid")
            for rate in (0.001, 0.01)
            for seed in (1, 2)
        ]
        other = tell(history, [], settings={"images": 9, "classes": [0, 1]}, name="other")
        assert picture_labels([*grid, other]) == [
            "learning_rate=0.001 seed=1",
            "learning_rate=0.001 seed=2",
            "learning_rate=0.01 seed=1",
            "learning_rate=0.01 seed=2",
            "other",
        ]

    def test_a_picture_names_runs_that_a_grid_numbered_by_their_settings(
        self, history: History
    ) -> None:
        runs = [
            tell(history, [], settings={"seed": seed}, name=name)
            for seed, name in enumerate(["grid-1", "grid-2", "other-1", "plain"])
        ]
        assert picture_labels(runs) == ["seed=0", "seed=1", "other-1", "plain"]
        named = ["grid-1 · seed=0", "grid-2 · seed=1", "other-1", "plain"]
        assert named_labels(runs) == named

    def test_repeated_runs_are_told_apart_by_their_ids(self, history: History) -> None:
        runs = [tell(history, [], settings={"seed": seed}) for seed in (1, 2, 2)]
        assert picture_labels(runs) == [
            "seed=1",
            f"seed=2 …{runs[1].id[-6:]}",
            f"seed=2 …{runs[2].id[-6:]}",
        ]

    def test_one_run_is_called_by_its_name_or_else_by_its_id(self, history: History) -> None:
        named, nameless = tell(history, [], name="mine"), tell(history, [])
        assert picture_labels([named]) == ["mine"]
        assert picture_labels([nameless]) == named_labels([nameless]) == [nameless.id]

    def test_a_label_that_is_too_long_leaves_out_what_other_settings_tell(
        self, history: History
    ) -> None:
        runs = [
            tell(
                history,
                [],
                settings={
                    "classes": [0, 1, 2],
                    "images": images,
                    "seed": images,
                    "microbatch_size": images,
                    "checkpoint_every": images,
                },
            )
            for images in (5, 6)
        ]
        labels = picture_labels(runs)
        assert labels == ["images=5 seed=5 microbatch_size=5", "images=6 seed=6 microbatch_size=6"]

    def test_what_is_still_too_long_loses_its_middle(self) -> None:
        text = "".join(chr(ord("a") + place % 26) for place in range(80))
        label = shorten(text)
        assert len(label) <= LONGEST_LABEL
        assert label.startswith(text[:20])
        assert label.endswith(text[-20:])


def _known(
    runs: Sequence[RunRecord], found: Sequence[tuple[str, str]]
) -> list[tuple[RunRecord, RunRecord]]:
    by_id = {run.id: run for run in runs}
    return [(by_id[one], by_id[other]) for one, other in found]
