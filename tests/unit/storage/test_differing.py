"""Of the settings of listed runs, those in which they differ."""

from __future__ import annotations

from typing import Any

from tapeworks.storage.queries.differing import choose_spare, keep_differing
from tapeworks.storage.queries.listing import Listing

COLUMNS = ("id", "seed", "options", "images", "reason")


def test_settings_that_all_share_are_left_out_and_options_are_settings() -> None:
    rows = (
        ("one", 1, '{"hidden":8,"bias":true,"name":"a"}', 50, None),
        ("two", 2, '{"hidden":16,"bias":true}', 50, None),
        ("three", 2, None, 50, None),
    )
    kept = keep_differing(Listing(columns=COLUMNS, rows=rows))
    assert kept.columns == ("id", "seed", "option.hidden", "option.bias", "option.name", "reason")
    assert kept.rows == (
        ("one", 1, 8, "true", "a", None),
        ("two", 2, 16, "true", None, None),
        ("three", 2, None, None, None, None),
    )


def test_one_run_differs_in_nothing() -> None:
    found = Listing(columns=COLUMNS, rows=(("one", 1, '{"hidden":8}', 50, None),))
    assert keep_differing(found).columns == ("id", "reason")
    assert keep_differing(Listing(columns=COLUMNS, rows=())).columns == ("id", "reason")


def test_the_most_telling_settings_stand_first_whatever_their_place() -> None:
    columns = ("id", "network", "options", "dataset", "learning_rate", "seed", "reason")
    rows = (("1", "a", '{"n":1}', "x", 0.1, 1, None), ("2", "b", '{"n":2}', "y", 0.2, 2, None))
    kept = keep_differing(Listing(columns=columns, rows=rows)).columns
    assert kept == ("id", "learning_rate", "seed", "option.n", "network", "dataset", "reason")


def test_what_tells_no_more_runs_apart_is_spared_first_the_last_of_it() -> None:
    settings: dict[str, list[Any]] = {"seed": [1, 2, 1], "optimizer": ["a", "a", "b"]}
    assert choose_spare(settings | {"momentum": [0, 0, 0.9]}) == "momentum"
    assert choose_spare(settings) == "optimizer"
