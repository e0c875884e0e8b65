"""Runs are searched for and questions asked on the command line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from benchmarks.history.filling import fill
from benchmarks.history.made_up import run_id
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.made_up import submit

#: The reason of the failed one, in short.
FAILED = "Iteration 12: the loss is not finite"

#: Made-up runs; the third one failed.
RUNS = 8


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a small history."""
    path = tmp_path_factory.mktemp("made-up") / "runs.db"
    database = Database(path)
    fill(database, RUNS, iterations=3)
    database.close()
    return path.read_bytes()


@pytest.fixture(autouse=True)
def history(places: Path, made_up: bytes) -> Path:
    """That file as this user's history."""
    (places / "runs.db").write_bytes(made_up)
    return places / "runs.db"


def names(called: str) -> list[str]:
    return [line.split()[1] for line in called.splitlines()[1:]]


NEWEST_FIRST = [
    *("rates-8", "audit-7", "nightly-6", "seeds-5"),
    *("rates-4", "audit-3", "nightly-2", "seeds-1"),
]


class TestRuns:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("", NEWEST_FIRST),
            ("--limit 2", NEWEST_FIRST[:2]),
            ("--asc --limit 2", ["seeds-1", "nightly-2"]),
            ("--status failed", ["audit-3"]),
            ("--status failed --status completed", NEWEST_FIRST),
            ("--tag study=rates", ["rates-8", "rates-4"]),
            ("--sort seed --asc --limit 2", ["seeds-5", "seeds-1"]),
            ("--since 2026-01-05T08:50:00+00:00", ["rates-8"]),
            ("--where \"seed = 0 OR NOT status = 'completed'\"", ["seeds-5", "audit-3"]),
            ("--where 'learning_rate < 0.001' --tag study=audit --desc", ["audit-3"]),
        ],
    )
    def test_are_those_that_were_asked_for(
        self, call: Call, options: str, expected: list[str]
    ) -> None:
        listed = call(f"runs {options}")
        assert listed.code == 0
        assert listed.out.splitlines()[0].split()[:3] == ["RUN", "NAME", "STATUS"]
        assert names(listed.out) == expected

    def test_show_in_what_they_differ_and_why_one_failed(self, call: Call) -> None:
        listed = call("runs --where \"name IN ('rates-8', 'audit-3')\"")
        header, rates, audit = listed.out.splitlines()
        assert {"LEARNING_RATE", "ACCURACY", "REASON"} <= set(header.split())
        assert "SEED" not in header, "they share them"
        place = header.index("LEARNING_RATE")
        assert (rates[place : place + 6], audit[place : place + 6]) == ("0.001 ", "0.0003")
        assert audit.endswith(FAILED)
        heading, *_ = call("runs --format csv").out.splitlines()
        assert {"seed", "test_accuracy", "reason"} <= set(heading.split(","))
        assert "REASON" not in call("runs --status completed").out

    def test_that_are_not_shown_are_counted(self, call: Call) -> None:
        for form in ("", "--json "):
            told = call(f"runs --limit 2 {form}").err.splitlines()
            assert f"2 of 8 runs; all of them: tapeworks runs {form}--limit 8" in told
        assert "2 of 7 runs" in call("runs --limit 2 --where \"status = 'completed'\"").err
        assert "of 8 runs" not in call("runs --limit 8").err

    @pytest.mark.parametrize(
        "asked",
        [
            "--tag study=rates --limit",
            "--status failed --status completed --asc --sort=seed --limit",
            "--where \"name LIKE 'rates%'\" --columns 'id, name' --since 2020-01-01 --limit",
            "--sort name --json --limit",
        ],
    )
    def test_that_are_not_shown_are_listed_by_the_command_that_is_told(
        self, call: Call, asked: str
    ) -> None:
        everything = call(f"runs {asked} 100")
        told = call(f"runs {asked} 1").last_words
        again = call(told.partition("; all of them: tapeworks ")[2])
        assert (again.out, again.err) == (everything.out, everything.err)

    def test_of_a_user_are_listed_likewise(self, call: Call, history: Path) -> None:
        opened = History.open(history)
        for name in ("one", "two"):
            submit(opened, name=name)
        opened.database.close()
        told = call("runs --mine --limit=1").last_words
        assert told == "1 of 2 runs; all of them: tapeworks runs --mine --limit 2"

    def test_show_the_columns_that_were_asked_for(self, call: Call) -> None:
        line = "runs --columns 'name, iterations,reason' --limit 6"
        assert call(line).out.splitlines()[-1].split()[:4] == ["audit-3", "6", "Iteration", "12:"]
        [*_, last] = csv.DictReader(io.StringIO(call(f"{line} --format csv").out))
        assert (last["name"], last["iterations"]) == ("audit-3", "6")
        assert call(f"{line} --format markdown").out.startswith("| name | iterations | reason |")

    def test_as_json_have_every_column_and_tags_as_an_object(self, call: Call) -> None:
        runs = call("runs --json").values
        assert [run["name"] for run in runs] == NEWEST_FIRST
        assert runs[0]["id"] == run_id(RUNS)
        assert runs[0]["tags"] == {"study": "rates"}
        assert runs[0]["learning_rate"] == 0.001
        assert [*call("runs --json --columns id,seed --limit 1").values[0]] == ["id", "seed"]

    def test_that_nobody_is_like_give_a_hint_and_no_data(self, call: Call) -> None:
        nobody = call("runs --status paused")
        assert (nobody.code, nobody.out) == (0, "")
        assert "tapeworks runs" in nobody.err
        assert call("runs --status paused --json").values == []

    def test_times_are_by_this_machines_clock_for_people(self, call: Call) -> None:
        [listed, chosen] = (
            call(f"runs --limit 1 {options}").out.splitlines()[-1].split()
            for options in ("", "--columns id,created_at")
        )
        assert listed[-2:] == chosen[-2:]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--where 'final_los < 2'", "Did you mean final_loss?"),
            ("--sort naem", "Did you mean name?"),
            ("--sort lr", "Did you mean learning_rate?"),
            ("--columns lr,name", "Did you mean learning_rate?"),
            ("--where 'lr>0.1'", "Did you mean learning_rate?"),
            ("--where 'batch_size = 1'", "Did you mean images_per_iteration?"),
            ("--columns id,staus", "Did you mean status?"),
            ("--columns ''", "no column ''"),
            ("--where 'final_loss <'", "cannot answer"),
            ("--where '1=1; DELETE FROM runs'", "cannot answer"),
            ("--status lost", "--status"),
            ("--tag study", "--tag NAME=VALUE"),
            ("--since lately", "2026-11-01"),
            ("--limit none", "--limit"),
            ("--json --format csv", "choose one"),
        ],
    )
    def test_that_cannot_be_are_refused_in_one_sentence(
        self, call: Call, options: str, words: str
    ) -> None:
        refused = call(f"runs {options}")
        assert (refused.code, refused.out) == (2, "")
        assert words in refused.last_words


class TestQuery:
    SQL = "SELECT name, seed, learning_rate AS rate FROM runs ORDER BY id LIMIT 2"

    def test_prints_a_table(self, call: Call) -> None:
        asked = call(f'query "{self.SQL}"')
        assert (asked.code, asked.err) == (0, "")
        assert [line.split() for line in asked.out.splitlines()] == [
            ["name", "seed", "rate"],
            ["seeds-1", "1", "0.0003"],
            ["nightly-2", "2", "0.0003"],
        ]

    @pytest.mark.parametrize(
        ("condition", "hint"),
        [
            ("run_id = 'seeds-1'", "(SELECT id FROM runs WHERE name = 'seeds-1' ORDER BY"),
            ("run_id IN ('seeds-1')", "'seeds-1' is no run's id"),
            ("run_id = '20261130-000000000-000000'", "No row.\n"),
            ("run_id = (SELECT id FROM runs WHERE name = 'none')", "No row.\n"),
        ],
    )
    def test_says_that_there_is_no_row_and_that_a_name_is_no_id(
        self, condition: str, hint: str, call: Call
    ) -> None:
        asked = call(f'query "SELECT at FROM events WHERE {condition}"')
        assert (asked.code, asked.out) == (0, "at\n")
        assert hint in asked.err
        assert ("is no run's id" in hint or "SELECT" in hint) == ("no run's id" in asked.err)

    def test_prints_other_forms(self, call: Call) -> None:
        assert call(f'query "{self.SQL}" --format csv').out == (
            "name,seed,rate\nseeds-1,1,0.0003\nnightly-2,2,0.0003\n"
        )
        first = {"name": "seeds-1", "seed": 1, "rate": 0.0003}
        assert call(f'query "{self.SQL}" --json').values[0] == first
        assert call(f'query "{self.SQL}" --format json').values[0] == first
        markdown = call(f'query "{self.SQL}" --format markdown').out.splitlines()
        assert markdown[1:3] == ["| --- | ---: | ---: |", "| seeds-1 | 1 | 0.0003 |"]

    def test_takes_the_sql_from_a_file_or_from_the_standard_input(
        self, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (places / "asked.sql").write_text(f"-- who\n{self.SQL};\n")
        expected = call(f'query "{self.SQL}"').out
        assert call("query --file asked.sql").out == expected
        for words in ("query -", "query --file -"):
            monkeypatch.setattr("sys.stdin", io.StringIO(self.SQL))
            assert call(words).out == expected

    def test_changes_nothing(self, call: Call, history: Path) -> None:
        for sql in ("DELETE FROM stored_runs", "DROP VIEW runs", "SELECT 1; DELETE FROM runs"):
            refused = call(f'query "{sql}"')
            assert (refused.code, refused.out) == (2, "")
            assert "queries are read-only" in refused.last_words
        assert names(call("runs").out) == NEWEST_FIRST

    def test_calls_no_run_running_that_nobody_drives(self, call: Call, history: Path) -> None:
        opened = History.open(history)
        opened.claim(submit(opened).id, "gone", lease_seconds=-1)
        opened.database.close()
        line = 'query "SELECT status, count(*) FROM runs GROUP BY status" --format csv'
        assert "queued,1" in call(line).out

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ("query", "Expected one query"),
            ("query 'SELECT 1' --file asked.sql", "Expected one query"),
            ("query --file nowhere.sql", "nowhere.sql cannot be read: No such file"),
            ("query --file .", "cannot be read"),
            ("query --file bytes.sql", "not UTF-8"),
            ("query ''", "read-only"),
            ("query 'SELECT lo FROM iterations'", "Did you mean loss?"),
            ("query 'SELECT 1 FROM run'", "Did you mean runs?"),
            ("query 'SELECT 1 FROM'", "cannot answer"),
            ("query 'SELECT 1' --seconds 0", "--seconds"),
            ("query 'SELECT 1 AS a, 2 AS a' --json", "Two columns are called a"),
        ],
    )
    def test_is_refused_in_one_sentence(
        self, call: Call, places: Path, words: str, sentence: str
    ) -> None:
        (places / "bytes.sql").write_bytes(b"SELECT '\xff'")
        refused = call(words)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.count("\n") == 1 or words.startswith("query 'SELECT 1' --seconds")
        assert sentence in refused.last_words

    def test_is_stopped_when_it_takes_too_long(self, call: Call) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        stopped = call(f'query "{endless}" --seconds 0.05')
        assert (stopped.code, stopped.out) == (2, "")
        assert "stopped after 0.05 seconds" in stopped.last_words
