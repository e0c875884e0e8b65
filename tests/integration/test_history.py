"""The history on real databases: what may be written, by whom, and that nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from tapeworks.storage.connection import engines as engines_module
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import (
    CheckpointNotFound,
    IterationNotFound,
    IterationNotRecorded,
    LeaseLost,
    LedgerMismatch,
    RunNotFound,
    StateConflict,
    StorageError,
    StorageUnreachable,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, EvaluationRecord, LedgerRecord, RunStatus
from tapeworks.storage.tables import iterations as iterations_table
from tapeworks.storage.tables import runs
from tests.support.made_up import (
    LEASE,
    commit,
    commit_of,
    digest_of,
    iteration_of,
    kinds,
    ledger_of,
    submit,
    submit_and_claim,
    values_of,
)

ROOT = Path(__file__).parents[2]

#: A lease in seconds that is over when it begins.
OVER = -1.0

#: A way to spoil a ledger.
Change = Callable[[list[LedgerRecord]], list[LedgerRecord]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


class TestFencing:
    def test_an_owner_of_an_older_term_can_write_nothing(self, history: History) -> None:
        stale = submit_and_claim(history, OVER)
        history.claim(stale.run_id, "alice", LEASE)
        before = history.find_run(stale.run_id)
        refused = pytest.raises(LeaseLost, match=r"at term 2 .* of term 1; it must stop")
        with refused:
            commit(history, stale)
        with refused:
            history.renew(stale, LEASE)
        with refused:
            history.finish(stale, RunStatus.COMPLETED)
        with refused:
            history.release(stale, RunStatus.PAUSED, None)
        with refused:
            history.set_images(stale, "digest", b"")
        with refused:
            history.record_evaluation(stale, evaluation_of(stale))
        with refused:
            history.add_event(stale, "worker refused", "worker-2 has another fingerprint")
        assert kinds(history, stale.run_id) == ["submitted", "claimed", "taken over"]
        assert history.find_run(stale.run_id) == before
        assert history.iterations(stale.run_id) == []

    def test_another_owner_cannot_write_under_the_same_term(self, history: History) -> None:
        claim = submit_and_claim(history)
        with pytest.raises(LeaseLost):
            history.renew(replace(claim, owner="bob"), LEASE)

    def test_what_is_not_running_is_not_written_even_with_its_owner_left(
        self, history: History
    ) -> None:
        claim = submit_and_claim(history)
        with history.database.write() as connection:
            connection.execute(update(runs).values(status=RunStatus.PAUSED))
        with pytest.raises(LeaseLost, match="is paused"):
            commit(history, claim)

    def test_an_expired_lease_that_nobody_took_still_writes(self, history: History) -> None:
        claim = submit_and_claim(history, OVER)
        commit(history, claim)
        assert history.renew(claim, LEASE).status is RunStatus.RUNNING

    def test_a_run_that_does_not_exist_is_not_written(self, history: History) -> None:
        with pytest.raises(LeaseLost, match="was deleted"):
            history.renew(Claim(run_id="nothing", owner="alice", term=1), LEASE)


class TestCommitting:
    def test_everything_of_an_iteration_is_stored(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        iteration = iteration_of(claim)
        assert history.iterations(claim.run_id) == [iteration]
        assert history.ledger(claim.run_id) == ledger_of(iteration)
        assert history.image_values(claim.run_id, 0) == values_of(0)
        assert history.checkpoint(claim.run_id).parameters == b"parameters 1"

    def test_of_an_iteration_that_is_not_recorded_it_stays_known_who_computed_which_images(
        self, history: History
    ) -> None:
        claim = submit_and_claim(history)
        for number in range(3):
            commit(history, claim, number, record=number == 2)

        assert history.list_recorded_iterations(claim.run_id) == [0, 2]  # the first one always is
        everything = ledger_of(iteration_of(claim, 1))
        without_times = [replace(one, seconds=None, received_at=None) for one in everything]
        assert history.ledger(claim.run_id, 1) == without_times
        assert history.iterations(claim.run_id)[1] == iteration_of(claim, 1)
        wanted = {0: values_of(0), 2: values_of(2)}
        assert history.image_values_of(claim.run_id, [0, 1, 2]) == wanted
        told = r"sums alone of iteration 1: .*in full: 0 and 2\. .* --set record_images_every=N$"
        with pytest.raises(IterationNotRecorded, match=told):
            history.image_values(claim.run_id, 1)
        with pytest.raises(IterationNotFound, match="no iteration 3; it is running after 3 of 3"):
            history.image_values_of(claim.run_id, [2, 3])
        [worker] = history.workers(claim.run_id)
        assert (worker.images, worker.answers) == (60, 9)
        assert worker.seconds == pytest.approx(0.9)

    def test_the_run_tells_where_it_stands(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim, 0)
        commit(history, claim, 1)
        run = history.find_run(claim.run_id)
        assert (run.completed_iterations, run.parameters_digest) == (2, digest_of(2))
        assert (run.first_loss, run.final_loss) == (34.00000000000001, 33.00000000000001)

    def test_the_first_fingerprint_stays(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        other = replace(commit_of(iteration_of(claim, 1)), fingerprint="sse4")
        history.commit(claim, [other])
        assert history.find_run(claim.run_id).fingerprint == "avx2"

    def test_a_commit_that_is_repeated_counts_once(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        commit(history, claim)
        assert history.find_run(claim.run_id).completed_iterations == 1
        assert len(history.iterations(claim.run_id)) == 1
        assert len(history.ledger(claim.run_id)) == 3

    def test_other_parameters_for_a_committed_iteration_are_refused(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        other = replace(iteration_of(claim), parameters_digest=digest_of(9))
        with pytest.raises(StateConflict, match="stands after 1 of 3 iterations"):
            history.commit(claim, [commit_of(other)])

    def test_an_iteration_ahead_of_the_run_is_refused(self, history: History) -> None:
        claim = submit_and_claim(history)
        with pytest.raises(StateConflict, match="stands after 0 of 3 iterations"):
            commit(history, claim, 1)

    def test_an_iteration_beyond_the_last_is_refused(self, history: History) -> None:
        claim = submit_and_claim(history)
        for number in range(3):
            commit(history, claim, number)
        with pytest.raises(StateConflict, match="stands after 3 of 3 iterations"):
            commit(history, claim, 3)

    def test_an_iteration_of_another_claim_is_refused(self, history: History) -> None:
        claim = submit_and_claim(history)
        other = replace(iteration_of(claim), term=7)
        with pytest.raises(StateConflict, match="Expected an iteration of"):
            history.commit(claim, [commit_of(other)])

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda ledger: ledger[:-1], "a ledger of 20 images. Received: 16"),
            (lambda ledger: [*ledger, ledger[-1]], "microbatch at image 20"),
            (lambda ledger: ledger[1:], "microbatch at image 0"),
            (lambda ledger: [replace(entry, iteration=1) for entry in ledger], "at image 0"),
        ],
    )
    def test_a_ledger_that_does_not_count_every_image_once_is_refused(
        self, history: History, change: Change, sentence: str
    ) -> None:
        claim = submit_and_claim(history)
        made = commit_of(iteration_of(claim))
        with pytest.raises(LedgerMismatch, match=sentence):
            history.commit(claim, [replace(made, ledger=change(list(made.ledger)))])
        assert history.find_run(claim.run_id).completed_iterations == 0

    def test_the_tables_themselves_refuse_to_count_twice(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        with history.database.read() as connection:
            row = connection.execute(select(iterations_table)).one()._asdict()
        for doubled in (row, row | {"loss": 1.0}):
            with (
                pytest.raises(StateConflict, match="refused a row"),
                history.database.write() as connection,
            ):
                connection.execute(insert(iterations_table).values(doubled))
        assert len(history.ledger(claim.run_id)) == 3

    def test_a_failure_half_way_leaves_nothing(self, history: History) -> None:
        claim = submit_and_claim(history)
        naive = replace(iteration_of(claim), started_at=datetime(2026, 3, 1))  # noqa: DTZ001
        with pytest.raises(StorageError, match="Expected a time with a time zone"):
            history.commit(claim, [commit_of(naive)])
        assert history.find_run(claim.run_id).completed_iterations == 0


class TestCheckpoints:
    def test_the_previous_one_goes_unless_it_is_to_be_kept(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim, 0, keep=False)
        commit(history, claim, 1, keep=True)
        commit(history, claim, 2, keep=False)
        with pytest.raises(CheckpointNotFound, match=r"after 2 iterations\. .*after: 0, 1, 3"):
            history.checkpoint(claim.run_id, 2)
        assert history.checkpoint(claim.run_id, 0).parameters == b"initial"
        assert history.checkpoint(claim.run_id, 1).digest == digest_of(1)
        assert history.checkpoint(claim.run_id).completed_iterations == 3

    def test_a_run_that_does_not_exist_has_none(self, history: History) -> None:
        with pytest.raises(RunNotFound):
            history.checkpoint("nothing")


def evaluation_of(claim: Claim) -> EvaluationRecord:
    return EvaluationRecord(
        run_id=claim.run_id, completed_iterations=3, images=200, loss=12.5, accuracy=0.75
    )


class TestWhatElseOwnersWrite:
    def test_an_evaluation_replaces_the_one_before(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.record_evaluation(claim, evaluation_of(claim))
        better = replace(evaluation_of(claim), accuracy=0.875)
        history.record_evaluation(claim, better)
        assert history.evaluations(claim.run_id) == [better]

    @pytest.mark.parametrize("noted", [b"\0\1\0\0", None])
    def test_the_images_are_noted(self, noted: bytes | None, history: History) -> None:
        claim = submit_and_claim(history)
        history.set_images(claim, "abc", noted, noted)
        assert history.find_run(claim.run_id).images_digest == "abc"

    def test_events_are_told_in_order(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.add_event(claim, "worker refused", "worker-2 has another fingerprint")
        assert kinds(history, claim.run_id) == ["submitted", "claimed", "worker refused"]
        with pytest.raises(LeaseLost, match="was deleted"):
            history.add_event(replace(claim, run_id="nothing"), "kind", "message")

    def test_events_name_the_workers_that_they_are_about(self, history: History) -> None:
        claim, other = submit_and_claim(history), submit_and_claim(history)
        for _ in range(2):
            history.add_event(claim, "lied", "worker-2 lied", worker="worker-2")
        history.add_event(claim, "lied", "somebody lied")
        history.add_event(claim, "gone", "worker-3 is gone", worker="worker-3")
        history.add_event(other, "lied", "worker-4 lied", worker="worker-4")
        assert history.workers_in_events(claim.run_id, "lied") == {"worker-2"}
        assert history.workers_in_events(claim.run_id, "late") == frozenset()
        told = [event.worker for event in history.events(claim.run_id)]
        assert told == [None, None, "worker-2", "worker-2", None, "worker-3"]

    def test_one_iterations_ledger_is_read_alone(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim, 0)
        commit(history, claim, 1)
        assert history.ledger(claim.run_id, 1) == ledger_of(iteration_of(claim, 1))
        with pytest.raises(IterationNotFound, match="has no iteration 2"):
            history.image_values(claim.run_id, 2)

    def test_images_values_of_several_iterations_are_read_at_once(self, history: History) -> None:
        claim = submit_and_claim(history)
        for number in range(3):
            commit(history, claim, number)
        found = history.image_values_of(claim.run_id, [2, 0])
        assert list(found.items()) == [(0, values_of(0)), (2, values_of(2))]
        assert history.image_values_of(claim.run_id, []) == {}
        with pytest.raises(IterationNotFound, match="has no iteration 3"):
            history.image_values_of(claim.run_id, [0, 3, 4])

    def test_tags_are_read_by_their_keys(self, history: History) -> None:
        run = history.create_run(
            name=None,
            configuration={},
            iterations=1,
            parameters=b"",
            parameters_digest="",
            tags={"place": "here", "grid": "a"},
        )
        assert list(history.tags(run.id).items()) == [("grid", "a"), ("place", "here")]
        assert history.tags(submit_and_claim(history).run_id) == {}


class TestLeaving:
    def test_a_finished_run_has_an_end_and_no_owner(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.finish(claim, RunStatus.FAILED, "no worker answered")
        run = history.find_run(claim.run_id)
        assert (run.status, run.reason) == (RunStatus.FAILED, "no worker answered")
        assert (run.owner, run.lease_until) == (None, None)
        assert run.ended_at == history.events(run.id)[-1].at
        assert history.events(run.id)[-1].message == "failed after 0 iterations: no worker answered"

    def test_a_released_run_goes_on_under_a_new_term(self, history: History) -> None:
        claim = submit_and_claim(history)
        commit(history, claim)
        history.release(claim, RunStatus.QUEUED, "the scheduler was asked to end")
        run = history.find_run(claim.run_id)
        assert (run.owner, run.lease_until, run.ended_at) == (None, None, None)
        again = history.claim_next("bob", LEASE)
        assert again == Claim(run_id=claim.run_id, owner="bob", term=2)
        commit(history, again, 1)
        assert history.find_run(claim.run_id).reason is None

    def test_leaving_may_be_repeated_and_is_told_once(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.finish(claim, RunStatus.COMPLETED)
        history.finish(claim, RunStatus.COMPLETED)
        assert kinds(history, claim.run_id) == ["submitted", "claimed", "completed"]
        with pytest.raises(LeaseLost):
            history.finish(claim, RunStatus.FAILED)

    def test_only_the_states_that_fit_are_accepted(self, history: History) -> None:
        claim = submit_and_claim(history)
        with pytest.raises(ValueError, match="Expected completed or failed or cancelled"):
            history.finish(claim, RunStatus.QUEUED)
        with pytest.raises(ValueError, match="Expected queued or paused"):
            history.release(claim, RunStatus.COMPLETED, None)


def test_a_database_that_is_locked_too_long_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines_module, "BUSY_TIMEOUT_MS", 20)
    holder, impatient = (History.open(tmp_path / "runs.db") for _ in range(2))
    with (
        holder.database.write(),
        pytest.raises(StorageUnreachable, match="Another program keeps it locked"),
    ):
        submit(impatient)
    for history in (holder, impatient):
        history.database.close()
