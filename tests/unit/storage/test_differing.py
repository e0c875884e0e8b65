"""Of the settings of listed runs, those in which they differ."""

from __future__ import annotations

from tapeworks.storage.queries.differing import keep_differing
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
