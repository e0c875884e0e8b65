"""A comparison as people read it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from tapeworks.cli.outputs.printing import table_width
from tapeworks.comparison.runs import Pair, Parting, contender
from tapeworks.comparison.texts import WIDEST, bits_lines, table
from tapeworks.storage.history import History
from tests.support.stories import evaluated, tell

LOSSES = [[3.0, 1.0], [2.0, 0.5]]


def shown(history: History, labels: list[str], *told: Mapping[str, Any]) -> dict[str, list[str]]:
    """The table's rows by their first cell, the headers' under an empty name."""
    contenders = [contender(history, tell(history, **story)) for story in told]
    headers, rows = table(contenders, labels, [1, 7])
    return {name: cells for name, *cells in [headers, *rows]}


def test_few_runs_have_a_column_each(history: History) -> None:
    one = {"losses": LOSSES, "settings": {"seed": 1}, "evaluations": [evaluated(2, 3.0, 0.75)]}
    other = {"losses": [[3.0, 1.0], [4.0, 2.0]], "settings": {"seed": 2}}
    cells = shown(history, ["one", "other"], one, other)
    digests = cells.pop("parameters"), cells.pop("history")
    assert cells == {
        "": ["one", "other"],
        "seed": ["1", "2"],
        "first loss": ["4.0000", "4.0000"],
        "loss in 1": ["2.5000", "6.0000"],
        "loss in 7": ["-", "-"],
        "lowest": ["2.5000 in 1", "4.0000 in 0"],
        "final": ["2.5000", "6.0000"],
        "held-out loss": ["3.0000", "-"],
        "held-out accuracy": ["75.0%", "-"],
    }
    assert all(len(set(pair)) == 2 for pair in digests)


def test_losses_over_different_numbers_of_images_are_shown_per_image(history: History) -> None:
    one = {"losses": [[3.0, 1.0]], "evaluations": [evaluated(1, 3.0, 0.5, images=4)]}
    other = {"losses": [[3.0, 1.0, 5.0]], "evaluations": [evaluated(1, 3.0, 0.5, images=6)]}
    cells = shown(history, ["one", "other"], one, other)
    assert cells["first loss per image"] == ["2.0000", "3.0000"]
    assert cells["held-out loss per image"] == ["0.7500", "0.5000"]


def test_of_several_evaluations_the_newest_and_the_best_are_shown(history: History) -> None:
    evaluations = [evaluated(1, 3.0, 0.75), evaluated(2, 2.0, 0.5)]
    cells = shown(
        history, ["one", "other"], {"losses": LOSSES, "evaluations": evaluations}, {"losses": []}
    )
    assert (cells["held-out loss"], cells["held-out accuracy"]) == (["2.0000", "-"], ["50.0%", "-"])
    assert cells["best held-out accuracy"] == ["75.0% after 1", "-"]


def test_small_losses_keep_their_digits(history: History) -> None:
    one, other = {"losses": [[0.000123, 0.0]]}, {"losses": [[0.0, 0.001]]}
    assert shown(history, ["one", "other"], one, other)["final"] == ["1.23e-04", "0.0010"]


def test_many_runs_have_a_row_each(history: History) -> None:
    runs = [tell(history, LOSSES, settings={"seed": seed}) for seed in range(24)]
    contenders = [contender(history, run) for run in runs]
    headers, rows = table(contenders, [run.id for run in runs], [])
    assert headers[:5] == ["RUN", "SEED", "FIRST LOSS", "LOWEST", "FINAL"]
    assert [row[:3] for row in rows] == [
        [run.id, str(seed), "4.0000"] for seed, run in enumerate(runs)
    ]
    assert table_width(headers, rows) < WIDEST


PARTING = Parting(iteration=13, what="loss", values=("1.25", "1.5"), image=7)


@pytest.mark.parametrize(
    ("iterations", "parting", "promised", "sentence"),
    [
        (50, None, True, "a and b have one configuration and the same bits in all 50 iterations"),
        (1, None, True, "a and b have one configuration and the same bits in all 1 iteration "),
        (0, None, True, "a and b have one configuration and no iteration that both have."),
        (50, PARTING, True, "the loss of image 7 in iteration 13: 1.25 against 1.5."),
        (50, PARTING, False, "promise no equal bits"),
    ],
)
def test_a_sentence_says_what_a_pair_shares(
    iterations: int, parting: Parting | None, promised: bool, sentence: str
) -> None:
    pair = Pair(
        one="1",
        other="2",
        iterations=iterations,
        recorded=iterations,
        parting=parting,
        promised=promised,
    )
    [line] = bits_lines([pair], {"1": "a", "2": "b"})
    assert sentence in line
    assert ("promise" in line) is not promised


def test_a_sentence_says_of_how_many_iterations_single_images_were_compared() -> None:
    pair = Pair(one="1", other="2", iterations=50, recorded=2, parting=None, promised=True)
    [line] = bits_lines([pair], {"1": "a", "2": "b"})
    assert line.endswith(
        "the same bits in all 50 iterations that both have; the values of single images were "
        "compared in the 2 of which both have them."
    )


def test_without_a_pair_it_is_said_that_nothing_is_compared() -> None:
    [line] = bits_lines([], {})
    assert "No two of these runs have one configuration" in line


def test_of_networks_that_predict_nothing_losses_are_shown(history: History) -> None:
    silent = {"losses": LOSSES, "predicts": False, "network_source": "the source"}
    evaluations = [evaluated(1, 3.0, None), evaluated(2, 2.0, None)]
    cells = shown(
        history, ["one", "other"], silent | {"evaluations": evaluations}, {"losses": LOSSES}
    )
    assert (cells["held-out loss"], cells["held-out accuracy"]) == (["2.0000", "-"], ["-", "-"])
    assert cells["best held-out accuracy"] == ["-", "-"]
    assert cells["network_digest"] == [hashlib.sha256(b"the source").hexdigest()[:8], "-"]
