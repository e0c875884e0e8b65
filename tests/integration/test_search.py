"""Runs are found by conditions on both databases."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from benchmarks.history.made_up import FIRST, Row
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import (
    QueryError,
    UnknownColumn,
)
from tapeworks.storage.history import History
from tapeworks.storage.queries.listing import Value
from tapeworks.storage.queries.search import count_runs, find_runs, query
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.records import RunStatus
from tests.support.filled import RUNS, stored_runs
from tests.support.made_up import submit


def ids(condition: Callable[[Row], bool]) -> list[str]:
    return [run["id"] for run in stored_runs() if condition(run)]


def found(database: Database, **wanted: Any) -> list[Value]:
    return find_runs(database, columns=["id"], **wanted).column("id")


class TestFindingRuns:
    def test_all_are_listed_newest_first_with_all_columns(self, filled: Database) -> None:
        everything = find_runs(filled)
        assert everything.columns == COLUMNS["runs"]
        assert everything.column("id") == ids(lambda run: True)
        assert set(everything.column("status")) == {"completed", "failed", "cancelled"}

    def test_by_any_of_several_statuses(self, filled: Database) -> None:
        ended = [RunStatus.FAILED, RunStatus.CANCELLED]
        assert len(ids(lambda run: run["status"] in ended)) == 2
        assert found(filled, status=ended) == ids(lambda run: run["status"] in ended)

    def test_by_tags_all_of_which_must_be_there(self, filled: Database) -> None:
        of_study = ids(lambda run: run["name"].startswith("nightly"))
        assert found(filled, tags={"study": "nightly"}) == of_study
        assert found(filled, tags={"study": "nightly", "place": "here"}) == []

    def test_since_a_moment_in_any_time_zone(self, filled: Database) -> None:
        moment = stored_runs()[7]["created_at"]
        later = moment.astimezone(datetime.now().astimezone().tzinfo)
        assert found(filled, since=later) == [run["id"] for run in stored_runs()[:8]]
        assert found(filled, since=moment + timedelta(microseconds=1)) == ids(
            lambda run: run["created_at"] > moment
        )

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (
                "learning_rate = 0.01 OR NOT status = 'completed'",
                lambda run: (
                    run["configuration"]["learning_rate"] == 0.01 or run["status"] != "completed"
                ),
            ),
            ("name LIKE 'night%' AND seed % 2 = 0", lambda run: _is_even_night(run)),
            ("reason IS NOT NULL -- that is all", lambda run: run["reason"] is not None),
            (f"created_at < '{FIRST:%Y-%m-%d %H}:20'", lambda run: run["number"] < 3),
            ("id IN (SELECT run_id FROM iterations WHERE iteration > 500)", lambda run: False),
            ("name = 'seeds:1' OR name = '50%' OR name = '%s ? $1'", lambda run: False),
            ("option.hidden > 64", lambda run: _hidden(run) == 128),
            ("OPTION.hidden < 100 OR option.hidden IS NULL", lambda run: _hidden(run) != 128),
            ("option.activation LIKE 're%' AND seed < 2", lambda run: _is_own(run, seed=2)),
            ("option.bias", lambda run: _option(run, "bias") is True),
            ("NOT option.bias AND option.hidden = 64", lambda run: _is_unbiased(run)),
            ("option.scale < 1 AND option.scale > 0", lambda run: _option(run, "scale") == 1e-05),
            ("option.nowhere > 3", lambda run: False),
            ("option.nowhere IS NULL AND option.activation = 'relu'", lambda run: _is_own(run)),
            ("network = 'lenet.py' AND name <> 'option.hidden > 1'", lambda run: _is_own(run)),
            ("option.hidden > 1 /* option.no */ -- option.no", lambda run: _is_own(run)),
        ],
    )
    def test_by_a_condition(
        self, filled: Database, where: str, expected: Callable[[Row], bool]
    ) -> None:
        assert found(filled, where=where) == ids(expected)

    def test_everything_asked_for_must_be_fulfilled(self, filled: Database) -> None:
        wanted = {"tags": {"study": "rates"}, "since": stored_runs()[15]["created_at"], "limit": 2}
        rates = [run["id"] for run in stored_runs()[:16] if run["name"].startswith("rates")]
        assert (
            found(filled, status=[RunStatus.COMPLETED], where="1 = 0 OR 1 = 1", **wanted)
            == (rates[:2])
        )

    @pytest.mark.parametrize("descending", [True, False])
    def test_sorted_by_a_column_with_the_unknown_last(
        self, filled: Database, descending: bool
    ) -> None:
        losses = find_runs(filled, sort="seed", descending=descending).column("seed")
        assert losses == sorted(losses, key=int, reverse=descending)  # type: ignore[arg-type]
        reasons = find_runs(filled, sort="reason", descending=descending).column("reason")
        assert reasons[0] is not None
        assert set(reasons[1:]) == {None}

    @pytest.mark.parametrize("descending", [True, False])
    def test_options_are_columns_to_be_shown_and_sorted_by(
        self, filled: Database, descending: bool
    ) -> None:
        names = ["option.hidden", "option.activation", "option.scale", "option.nowhere", "seed"]
        listing = find_runs(filled, columns=names, sort="option.hidden", descending=descending)
        assert listing.columns == tuple(names)
        assert listing.rows[0][0] == (128 if descending else 64)
        assert type(listing.rows[0][0]) is int
        assert set(listing.column("option.hidden")[4:]) == {None}
        assert set(listing.column("option.activation")[:4]) == {"relu"}
        assert set(listing.column("option.scale")) == {1e-05, None}
        assert set(listing.column("option.nowhere")) == {None}
        assert len(found(filled, sort="option.nowhere")) == RUNS

    def test_options_of_several_kinds_are_text_and_numbers_have_no_idle_fraction(
        self, either_history: History
    ) -> None:
        kinds = [{"width": 2, "scale": 1.0}, {"width": "wide"}, {"width": None, "scale": 0.5}, {}]
        own = functools.partial(submit, either_history, network_source="width = 2\n")
        runs = [own(configuration={"options": one}).id for one in kinds]
        database = either_history.database
        assert found(database, where="option.width = 'wide'") == [runs[1]]
        assert found(database, where="option.width = '2'") == [runs[0]]
        assert found(database, where="option.scale >= 1") == [runs[0]]
        assert set(found(database, where="option.width IS NULL")) == {runs[2], runs[3]}
        [row] = find_runs(database, where="option.scale = 1", columns=["option.scale"]).rows
        assert [repr(cell) for cell in row] == ["1"]

    def test_the_columns_are_those_asked_for_in_their_order(self, filled: Database) -> None:
        listing = find_runs(filled, columns=["seed", "id", "tags"], limit=1)
        assert listing.columns == ("seed", "id", "tags")
        newest = stored_runs()[0]
        assert listing.rows == (
            (newest["configuration"]["seed"], newest["id"], '{"study":"rates"}'),
        )

    @pytest.mark.parametrize(
        "wanted",
        [
            {"where": "final_los < 12"},
            {"where": "1 = 1 AND NOT runs.final_los > 3"},
            {"sort": "final_los"},
            {"columns": ["id", "final_los"]},
        ],
    )
    def test_an_unknown_column_is_refused_with_the_nearest_one(
        self, filled: Database, wanted: dict[str, Any]
    ) -> None:
        with pytest.raises(UnknownColumn) as refusal:
            find_runs(filled, **wanted)
        assert str(refusal.value) == (
            "There is no column 'final_los'. Did you mean final_loss? "
            'List the columns with: tapeworks query "SELECT * FROM runs LIMIT 0"'
        )

    @pytest.mark.parametrize(
        ("where", "meant"),
        [
            ("user = 'bob'", "'user'. Did you mean submitter?"),
            ("name <> 'user' AND Session_User='bob'", "'session_user'. Did you mean submitter?"),
            ("submitter=bob", "'bob'. Text goes between single quotation marks: 'bob'."),
            ("lr > 0.1", "'lr'. Did you mean learning_rate? List"),
            ("error IS NULL", "'error'. Did you mean reason? List"),
            ("name = lr-3", "'lr'. Text goes between single quotation marks: 'lr-3'."),
            ("name LIKE bob", "'bob'. Text goes between single quotation marks: 'bob'."),
            ("name IN ( bob)", "'bob'. Text goes between single quotation marks: 'bob'."),
        ],
    )
    def test_a_word_that_is_no_column_is_refused_with_what_may_be_meant(
        self, filled: Database, where: str, meant: str
    ) -> None:
        with pytest.raises(UnknownColumn) as refusal:
            find_runs(filled, where=where)
        assert meant in str(refusal.value).replace("Session_User", "session_user")

    def test_words_of_postgresql_are_texts_and_names_as_anywhere(self, filled: Database) -> None:
        find_runs(filled, where="name = 'user' OR name LIKE 'current_user' -- user")
        assert query(filled, "SELECT submitter AS user FROM runs LIMIT 0").columns == ("user",)
        with pytest.raises(UnknownColumn, match="Did you mean actor"):
            query(filled, "SELECT user FROM events")

    @pytest.mark.parametrize("where", ["", "final_loss <", "1 = 1) --", "1 = 1; DELETE FROM runs"])
    def test_what_is_no_condition_is_refused(self, filled: Database, where: str) -> None:
        told = r"The database cannot answer this: (.*near|the condition is not complete)"
        with pytest.raises(QueryError, match=told):
            find_runs(filled, where=where)

    @pytest.mark.parametrize("open_quote", ["'x", '"x'])
    def test_what_is_wrong_with_a_condition_is_told_without_sql_of_ours(
        self, filled: Database, open_quote: str
    ) -> None:
        for ask in (find_runs, count_runs):
            with pytest.raises(QueryError, match=rf'{open_quote}"$'):
                ask(filled, where=f"name = {open_quote}")


def _option(run: Row, name: str) -> Any:
    return run["configuration"]["options"].get(name)


def _hidden(run: Row) -> Any:
    return _option(run, "hidden")


def _is_own(run: Row, seed: int = 10) -> bool:
    return run["network_digest"] is not None and run["configuration"]["seed"] < seed


def _is_unbiased(run: Row) -> bool:
    return _option(run, "bias") is False and _hidden(run) == 64


def _is_even_night(run: Row) -> bool:
    return str(run["name"]).startswith("nightly") and run["configuration"]["seed"] in {0, 2, 4}
