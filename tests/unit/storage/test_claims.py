"""The right to drive a run: claiming, taking over, and the fate of abandoned runs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tapeworks.storage.errors import LeaseLost, RunNotFound, StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import Claim, RunRecord, RunStatus

ROOT = Path(__file__).parents[3]

#: Leases in seconds: one that outlasts every test, and one that is over when it begins.
LEASE = 60.0
OVER = -1.0


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History.open(tmp_path / "runs.db")
    yield history
    history.database.close()


def submit(history: History, status: RunStatus = RunStatus.QUEUED) -> RunRecord:
    return history.create_run(
        name=None,
        configuration={},
        iterations=3,
        parameters=b"initial",
        parameters_digest=hashlib.sha256(b"initial").hexdigest(),
        status=status,
    )


def last_event(history: History, run_id: str) -> str:
    return history.events(run_id)[-1].kind


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs this script beside ours."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestClaiming:
    def test_the_oldest_queued_run_is_claimed_first(self, history: History) -> None:
        submit(history, RunStatus.PAUSED)
        older, newer = submit(history), submit(history)
        assert [history.claim_next("alice", LEASE) for _ in range(3)] == [
            Claim(run_id=older.id, owner="alice", term=1),
            Claim(run_id=newer.id, owner="alice", term=1),
            None,
        ]

    def test_a_claim_starts_the_run_and_leases_it(self, history: History) -> None:
        claim = history.claim(submit(history).id, "alice", LEASE)
        run = history.find_run(claim.run_id)
        assert (run.status, run.owner, run.term) == (RunStatus.RUNNING, "alice", 1)
        assert run.started_at is not None
        assert run.lease_until == run.started_at + timedelta(seconds=LEASE)
        assert last_event(history, run.id) == "claimed"

    def test_a_run_whose_lease_is_over_is_taken_over(self, history: History) -> None:
        run_id = history.claim(submit(history).id, "alice", OVER).run_id
        started_at = history.find_run(run_id).started_at
        claim = history.claim_next("bob", LEASE)
        assert claim == Claim(run_id=run_id, owner="bob", term=2)
        assert history.find_run(run_id).started_at == started_at
        assert last_event(history, run_id) == "taken over"

    def test_a_run_is_taken_over_by_its_id_as_well(self, history: History) -> None:
        lost = history.claim(submit(history).id, "alice", OVER)
        assert history.claim(lost.run_id, "bob", LEASE).term == 2

    def test_a_leased_run_is_left_to_its_owner(self, history: History) -> None:
        claim = history.claim(submit(history).id, "alice", LEASE)
        assert history.claim_next("bob", LEASE) is None
        with pytest.raises(StateConflict, match="is driven by alice"):
            history.claim(claim.run_id, "bob", LEASE)

    def test_a_paused_run_is_claimed_by_its_id(self, history: History) -> None:
        run = submit(history, RunStatus.PAUSED)
        assert history.claim(run.id, "alice", LEASE).term == 1

    @pytest.mark.parametrize("status", [status for status in RunStatus if status.is_finished])
    def test_a_finished_run_is_never_claimed(self, history: History, status: RunStatus) -> None:
        claim = history.claim(submit(history).id, "alice", LEASE)
        history.finish(claim, status)
        assert history.claim_next("bob", LEASE) is None
        with pytest.raises(StateConflict, match=f"is {status.value} and cannot go on"):
            history.claim(claim.run_id, "bob", LEASE)

    def test_a_run_that_does_not_exist_is_not_claimed(self, history: History) -> None:
        with pytest.raises(RunNotFound):
            history.claim("nothing", "alice", LEASE)

    def test_renewing_lengthens_the_lease(self, history: History) -> None:
        claim = history.claim(submit(history).id, "alice", OVER)
        assert history.renew(claim, LEASE).status is RunStatus.RUNNING
        assert history.claim_next("bob", LEASE) is None

    def test_two_processes_claim_each_of_60_runs_once(
        self, history: History, tmp_path: Path
    ) -> None:
        wanted = [submit(history).id for _ in range(60)]
        script = (
            "import json, sys; from tapeworks.storage.history import History\n"
            "history = History.open(sys.argv[1]); sys.stdin.readline()\n"
            "take = lambda: history.claim_next(sys.argv[2], 60)\n"
            "print(json.dumps([claim.run_id for claim in iter(take, None)]))\n"
        )
        path = str(tmp_path / "runs.db")
        processes = [start(script, path, owner) for owner in ("alice", "bob")]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        claimed = [run for process in processes for run in json.loads(process.communicate()[0])]
        assert sorted(claimed) == sorted(wanted)


class TestAbandonedRuns:
    def test_they_are_queued_again_and_their_owner_is_fenced(self, history: History) -> None:
        claim = history.claim(submit(history).id, "alice", OVER)
        (run,) = history.release_abandoned()
        assert run == history.find_run(claim.run_id)
        assert (run.status, run.owner, run.lease_until) == (RunStatus.QUEUED, None, None)
        assert run.term == claim.term
        assert run.reason == (
            f"its process ended unexpectedly after 0 iterations. Go on with: tapeworks train "
            f"--resume {run.id}; a scheduler of this database does so by itself"
        )
        assert last_event(history, run.id) == "abandoned"
        with pytest.raises(LeaseLost):
            history.renew(claim, LEASE)

    def test_a_living_owner_keeps_its_run(self, history: History) -> None:
        history.claim(submit(history).id, current_owner(), LEASE)
        assert history.release_abandoned() == []

    def test_a_killed_owner_on_this_machine_loses_its_run_at_once(
        self, history: History, tmp_path: Path
    ) -> None:
        run = submit(history)
        script = (
            "import sys; from tapeworks.storage.history import History\n"
            "from tapeworks.storage.owners import current_owner\n"
            "claim = History.open(sys.argv[1]).claim_next(current_owner(), 3600)\n"
            "print(claim.run_id, flush=True); sys.stdin.readline()\n"
        )
        with start(script, str(tmp_path / "runs.db")) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == run.id
            assert history.release_abandoned() == []
            process.kill()
        (abandoned,) = history.release_abandoned()
        assert (abandoned.id, abandoned.status) == (run.id, RunStatus.QUEUED)

    def test_a_gone_owners_run_is_claimed_at_once(self, history: History) -> None:
        place, _, _ = current_owner().rpartition(":")
        lost = history.claim(submit(history).id, f"{place}:1", LEASE)
        assert history.claim_next("bob", LEASE) == Claim(run_id=lost.run_id, owner="bob", term=2)


def test_a_lease_of_a_clock_that_was_wrong_holds_nobody_back(history: History) -> None:
    run = submit(history)
    history.claim(run.id, "elsewhere:boot:1:2", lease_seconds=3600.0)
    taken = history.claim_next(current_owner(), LEASE)
    assert taken is not None
    assert taken.run_id == run.id
