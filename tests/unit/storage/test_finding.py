"""Submitting runs, listing them, and finding the one that somebody means."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapeworks.storage.errors import AmbiguousRun, InvalidName, RunNotFound, StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History.open(tmp_path / "runs.db")
    yield history
    history.database.close()


def submit(
    history: History,
    name: str | None = None,
    run_id: str | None = None,
    status: RunStatus = RunStatus.QUEUED,
) -> RunRecord:
    return history.create_run(
        run_id=run_id,
        name=name,
        configuration={"dataset": "digits", "classes": [3, 6], "learning_rate": 0.001},
        iterations=3,
        parameters=b"initial",
        parameters_digest=hashlib.sha256(b"initial").hexdigest(),
        status=status,
    )


class TestSubmitting:
    def test_a_submitted_run_is_stored_as_it_is_returned(self, history: History) -> None:
        run = submit(history, "first try")
        assert history.find_run(run.id) == run
        assert (run.status, run.term, run.completed_iterations) == (RunStatus.QUEUED, 0, 0)

    def test_it_keeps_its_initial_parameters_and_tells_its_submission(
        self, history: History
    ) -> None:
        run = submit(history)
        assert history.checkpoint(run.id, 0).parameters == b"initial"
        assert history.checkpoint(run.id).digest == hashlib.sha256(b"initial").hexdigest()
        assert [event.kind for event in history.events(run.id)] == ["submitted"]

    def test_its_time_is_the_databases(
        self, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        monkeypatch.setattr(history.database, "now", lambda: noon)
        run = submit(history)
        assert run.id.startswith("20260301-120000000-")
        assert history.find_run(run.id).created_at == noon

    def test_runs_are_listed_newest_first(self, history: History) -> None:
        oldest, middle, newest = (submit(history).id for _ in range(3))
        assert [run.id for run in history.runs()] == [newest, middle, oldest]
        assert [run.id for run in history.runs(limit=2)] == [newest, middle]

    @pytest.mark.parametrize(
        "name", ["", "a" * 81, "50%", "two\nlines", "newline\n", " ", "blank "]
    )
    def test_a_name_that_cannot_be_one_is_refused(self, history: History, name: str) -> None:
        with pytest.raises(InvalidName, match="Expected a name"):
            submit(history, name)
        assert history.runs() == []

    def test_an_id_cannot_be_given_twice(self, history: History) -> None:
        run = submit(history)
        with pytest.raises(StateConflict, match="stored already"):
            submit(history, run_id=run.id)

    def test_a_run_cannot_be_submitted_running(self, history: History) -> None:
        with pytest.raises(ValueError, match="Expected queued or paused"):
            submit(history, status=RunStatus.RUNNING)


class TestFinding:
    def test_a_run_is_found_by_the_unique_start_of_its_id(self, history: History) -> None:
        submit(history, run_id="20260301-120000000-00000a")
        run = submit(history, run_id="20260302-120000000-00000a")
        assert history.find_run("20260302") == run

    def test_of_several_runs_of_a_name_the_newest_is_meant(self, history: History) -> None:
        submit(history, "seed 1")
        newest = submit(history, "seed 1")
        assert history.find_run("seed 1") == newest

    def test_an_id_goes_before_a_name(self, history: History) -> None:
        run = submit(history)
        submit(history, run.id)
        assert history.find_run(run.id) == run

    def test_a_name_goes_before_the_start_of_an_id(self, history: History) -> None:
        submit(history, run_id="20260301-120000000-00000a")
        named = submit(history, "2026")
        assert history.find_run("2026") == named

    def test_a_start_that_several_share_lists_them(self, history: History) -> None:
        submit(history, run_id="2026-a")
        submit(history, run_id="2026-b")
        with pytest.raises(AmbiguousRun, match="2026-a, 2026-b"):
            history.find_run("2026")

    @pytest.mark.parametrize(
        "reference", ["nothing", "", "%", "2026%", "_" * 8, "2026_A", "2026-A"]
    )
    def test_what_no_run_is_called_finds_none(self, history: History, reference: str) -> None:
        submit(history, "named", run_id="2026-a")
        with pytest.raises(RunNotFound, match="tapeworks runs"):
            history.find_run(reference)
