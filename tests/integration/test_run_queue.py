"""The queue of runs, on both databases: what anybody may want, and what owners see of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from tapeworks.storage.actors import Actor, acting
from tapeworks.storage.errors import InvalidLine, InvalidTag, LeaseLost, RunNotFound, StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.owners import current_owner
from tapeworks.storage.records import STARTING, Claim, Request, RunRecord, RunStatus
from tapeworks.storage.run_queue import NewRun, Queue
from tests.support.made_up import LEASE, commit, kinds, submit, submit_and_claim

#: A lease that is over when it begins.
OVER = -1.0

Wish = Callable[[Queue, str], RunRecord]


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def new(name: str, **values: object) -> NewRun:
    return NewRun(
        name=name,
        configuration={},
        iterations=3,
        parameters=b"initial",
        parameters_digest=hashlib.sha256(b"initial").hexdigest(),
        **values,  # type: ignore[arg-type]
    )


def taken(history: History) -> list[str | None]:
    """The names of all queued runs, in the order in which schedulers take them."""
    claims = iter(lambda: history.claim_next("alice", LEASE), None)
    return [history.find_run(claim.run_id).name for claim in claims]


def stands(run: RunRecord) -> tuple[RunStatus, str | None, Request | None]:
    return run.status, run.reason, run.request


class TestSubmitting:
    def test_all_runs_of_a_submission_are_stored_or_none(self, history: History) -> None:
        with pytest.raises(InvalidTag, match=r"Received: 'two words'='b'"):
            history.queue.submit([new("a"), new("b", tags={"two words": "b"})])
        assert history.runs() == []
        first, second = history.queue.submit([new("a", tags={"k": "v"}), new("b", note="why")])
        assert [run.name for run in history.runs()] == ["b", "a"]
        assert history.tags(first.id) == {"k": "v"}
        assert history.find_run(second.id).note == "why"

    @pytest.mark.parametrize("note", ["", "two\nlines", "\x1b[2J", "x" * 1001])
    def test_a_note_is_one_readable_line(self, history: History, note: str) -> None:
        with pytest.raises(InvalidLine, match="on one line"):
            history.queue.submit([new("a", note=note)])

    @pytest.mark.parametrize("tag", [("", "v"), ("k", ""), ("k", "a\nb"), ("k" * 41, "v")])
    def test_tags_are_short_and_readable(self, history: History, tag: tuple[str, str]) -> None:
        with pytest.raises(InvalidTag):
            history.queue.submit([new("a", tags=dict([tag]))])

    def test_the_higher_priority_goes_first_then_the_older_run(self, history: History) -> None:
        names = {"old": 0, "older urgent": 5, "urgent": 5, "some time": -1}
        for name, priority in names.items():
            history.queue.submit([new(name, priority=priority)])
        history.queue.set_priority(history.find_run("old").id, 9)
        assert taken(history) == ["old", "older urgent", "urgent", "some time"]


class TestWhatNobodyDrives:
    @pytest.mark.parametrize("resumed", [False, True])
    def test_the_reason_of_a_run_that_is_being_started_ends_with_its_claim(
        self, history: History, resumed: bool
    ) -> None:
        run = submit(history, status=RunStatus.PAUSED, reason=STARTING)
        assert stands(run) == (RunStatus.PAUSED, STARTING, None)
        assert history.claim_next("alice", LEASE) is None
        if resumed:
            assert stands(history.queue.resume(run.id)) == (RunStatus.QUEUED, None, None)
        history.claim(run.id, "train", LEASE)
        assert stands(history.find_run(run.id)) == (RunStatus.RUNNING, None, None)

    def test_a_queued_run_is_paused_and_resumed(self, history: History) -> None:
        run = submit(history)
        assert stands(history.queue.pause(run.id, "for lunch")) == (
            RunStatus.PAUSED,
            "for lunch",
            None,
        )
        assert history.claim_next("alice", LEASE) is None
        assert stands(history.queue.resume(run.id)) == (RunStatus.QUEUED, None, None)
        assert history.claim_next("alice", LEASE) is not None
        assert kinds(history, run.id) == ["submitted", "paused", "resumed", "claimed"]

    def test_a_queued_run_is_cancelled_for_good(self, history: History) -> None:
        run = submit(history)
        cancelled = history.queue.cancel(run.id)
        assert stands(cancelled) == (RunStatus.CANCELLED, "cancelled on request", None)
        assert cancelled.ended_at is not None
        assert history.claim_next("alice", LEASE) is None
        for wish in (Queue.pause, Queue.cancel, Queue.resume):
            with pytest.raises(StateConflict, match=f"Run {run.id} is cancelled"):
                wish(history.queue, run.id)
        with pytest.raises(StateConflict, match="its priority has no use"):
            history.queue.set_priority(run.id, 1)

    def test_a_run_that_is_as_wanted_is_refused(self, history: History) -> None:
        run = submit(history)
        with pytest.raises(StateConflict, match="only a paused one is resumed"):
            history.queue.resume(run.id)
        history.queue.pause(run.id)
        with pytest.raises(StateConflict, match="is paused already"):
            history.queue.pause(run.id)

    @pytest.mark.parametrize("wish", [Queue.pause, Queue.cancel, Queue.resume, Queue.delete])
    def test_a_run_that_does_not_exist_is_named(self, history: History, wish: Wish) -> None:
        with pytest.raises(RunNotFound, match="'nothing'"):
            wish(history.queue, "nothing")


class TestWhatIsDriven:
    @pytest.mark.parametrize(
        ("wish", "request_", "status"),
        [
            (Queue.pause, Request.PAUSE, RunStatus.PAUSED),
            (Queue.cancel, Request.CANCEL, RunStatus.CANCELLED),
        ],
    )
    def test_its_owner_reads_the_wish_and_does_it(
        self, history: History, wish: Wish, request_: Request, status: RunStatus
    ) -> None:
        claim = submit_and_claim(history)
        asked = wish(history.queue, claim.run_id)
        assert stands(asked) == (RunStatus.RUNNING, None, request_)
        assert history.renew(claim, LEASE).request is request_
        leave = history.finish if status.is_finished else history.release
        leave(claim, status, "as it was wished")
        assert stands(history.find_run(claim.run_id)) == (status, "as it was wished", None)
        kind = f"{request_} requested"
        assert kinds(history, claim.run_id) == ["submitted", "claimed", kind, status.value]

    def test_committing_tells_of_it_too(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id, "later")
        commit(history, claim)
        assert history.find_run(claim.run_id).request is Request.PAUSE

    def test_the_wish_to_pause_is_taken_back(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id)
        assert stands(history.queue.resume(claim.run_id)) == (RunStatus.RUNNING, None, None)
        with pytest.raises(StateConflict, match="only a paused one"):
            history.queue.resume(claim.run_id)

    def test_a_wish_that_was_taken_back_meanwhile_is_not_done(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id)
        history.queue.resume(claim.run_id)
        for _ in range(2):  # the answer to the first time was lost
            history.apply_request(claim)
        assert stands(history.find_run(claim.run_id)) == (RunStatus.QUEUED, None, None)

    def test_a_wish_is_done_in_the_words_of_its_reason(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id, "for lunch")
        for _ in range(2):
            history.apply_request(claim)
        assert stands(history.find_run(claim.run_id)) == (RunStatus.PAUSED, "for lunch", None)

    def test_a_pause_does_not_replace_a_cancel(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.cancel(claim.run_id)
        with pytest.raises(StateConflict, match="is to be cancelled"):
            history.queue.pause(claim.run_id)
        with pytest.raises(StateConflict, match="only a paused one"):
            history.queue.resume(claim.run_id)

    @pytest.mark.parametrize("reason", ["", "two\nlines", "\udcff", "x" * 1001])
    def test_a_reason_is_one_readable_line(self, history: History, reason: str) -> None:
        claim = submit_and_claim(history)
        with pytest.raises(InvalidLine, match="Expected a reason"):
            history.queue.cancel(claim.run_id, reason)

    def test_an_owner_whose_run_was_deleted_has_lost_it(self, history: History) -> None:
        claim = submit_and_claim(history, OVER)
        history.queue.delete(claim.run_id)
        for write in (
            lambda: commit(history, claim),
            lambda: history.renew(claim, LEASE),
            lambda: history.finish(claim, RunStatus.COMPLETED),
            lambda: history.add_event(claim, "kind", "message"),
            lambda: history.apply_request(claim),
        ):
            with pytest.raises(LeaseLost, match="was deleted"):
                write()

    def test_a_cancel_follows_a_pause(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id, "later")
        asked = history.queue.cancel(claim.run_id, "never")
        assert (asked.request, asked.request_reason) == (Request.CANCEL, "never")

    def test_an_owner_that_stops_for_another_reason_leaves_it_as_wished(
        self, history: History
    ) -> None:
        claim = submit_and_claim(history)
        history.queue.pause(claim.run_id, "not now")
        for _ in range(2):  # the answer to the first time was lost
            history.release(claim, RunStatus.QUEUED, "stopped on request")
        assert stands(history.find_run(claim.run_id)) == (RunStatus.PAUSED, "not now", None)
        assert kinds(history, claim.run_id)[2:] == ["pause requested", "paused"]

    def test_one_that_completes_meanwhile_is_complete(self, history: History) -> None:
        claim = submit_and_claim(history)
        history.queue.cancel(claim.run_id)
        history.finish(claim, RunStatus.COMPLETED)
        assert stands(history.find_run(claim.run_id)) == (RunStatus.COMPLETED, None, None)

    def test_one_that_is_driven_is_not_deleted(self, history: History) -> None:
        claim = submit_and_claim(history)
        with pytest.raises(StateConflict, match="is running; cancel it first"):
            history.queue.delete(claim.run_id)

    def test_deleting_leaves_nothing_of_a_run_and_all_of_others(self, history: History) -> None:
        other, claim = submit_and_claim(history), submit_and_claim(history)
        for one in (other, claim):
            commit(history, one)
        history.finish(claim, RunStatus.FAILED, "no use")
        history.queue.delete(claim.run_id)
        with pytest.raises(RunNotFound):
            history.find_run(claim.run_id)
        assert history.iterations(claim.run_id) == []
        assert history.ledger(claim.run_id) == []
        assert history.events(claim.run_id) == []
        assert len(history.ledger(other.run_id)) == 3
        assert history.checkpoint(other.run_id).completed_iterations == 1


class TestWhatWasAbandoned:
    @pytest.mark.parametrize("find", ["claim_next", "claim", "release_abandoned"])
    def test_it_is_paused_or_cancelled_as_was_wished_of_its_owner(
        self, history: History, find: str
    ) -> None:
        paused, cancelled = submit_and_claim(history), submit_and_claim(history)
        history.queue.pause(paused.run_id, "at night")
        history.queue.cancel(cancelled.run_id, "wrong")
        for claim in (paused, cancelled):
            history.renew(claim, OVER)
        if find == "claim":
            with pytest.raises(StateConflict, match="is cancelled and cannot go on"):
                history.claim(cancelled.run_id, "bob", LEASE)
        elif find == "claim_next":
            assert history.claim_next("bob", LEASE) is None
        else:
            assert history.release_abandoned() == []
        if find != "claim":  # it rolled back; whoever looks next does it
            assert stands(history.find_run(cancelled.run_id))[:2] == (RunStatus.CANCELLED, "wrong")
            assert stands(history.find_run(paused.run_id))[:2] == (RunStatus.PAUSED, "at night")
        history.release_abandoned()
        with pytest.raises(LeaseLost):
            history.renew(paused, LEASE)

    def test_an_owner_that_is_late_but_alive_loses_its_run_to_the_wish(
        self, history: History
    ) -> None:
        run = submit(history)
        claim = history.claim(run.id, current_owner(), LEASE)
        history.queue.cancel(run.id, "never")
        history.renew(claim, OVER)
        assert history.claim_next(current_owner(part=1), LEASE) is None
        assert stands(history.find_run(run.id)) == (RunStatus.CANCELLED, "never", None)

    def test_a_wish_for_it_is_done_at_once(self, history: History) -> None:
        claim = submit_and_claim(history, OVER)
        assert history.queue.cancel(claim.run_id).status is RunStatus.CANCELLED
        gone: Claim = submit_and_claim(history, OVER)
        history.queue.delete(gone.run_id)
        assert [run.id for run in history.runs()] == [claim.run_id]


class TestFitting:
    @pytest.fixture
    def pinned(self, history: History) -> str:
        """A run that workers of the fingerprint avx2 have begun; it is the oldest of the queue."""
        claim = submit_and_claim(history)
        commit(history, claim)
        history.release(claim, RunStatus.QUEUED, None)
        return claim.run_id

    def test_a_run_that_the_living_workers_can_compute_goes_first(
        self, history: History, pinned: str
    ) -> None:
        younger = submit(history)
        for run_id in (younger.id, pinned):
            claim = history.claim_next("alice", LEASE, {"other", "another"})
            assert claim is not None
            assert claim.run_id == run_id

    @pytest.mark.parametrize("there", [set(), {"avx2", "other"}], ids=["nobody", "its own"])
    def test_the_order_is_as_ever_when_none_or_all_can_be_computed(
        self, history: History, pinned: str, there: set[str]
    ) -> None:
        submit(history)
        claim = history.claim_next("alice", LEASE, there)
        assert claim is not None
        assert claim.run_id == pinned

    def test_a_run_that_lets_workers_differ_fits_all(self, history: History) -> None:
        mixed = {"allow_mixed_workers": True}
        [run] = history.queue.submit([replace(new("mixed"), configuration=mixed)])
        claim = history.claim(run.id, "alice", LEASE)
        commit(history, claim)
        history.release(claim, RunStatus.QUEUED, None)
        assert history.has_queued({"other"})

    def test_a_run_whose_network_all_refuse_goes_last(self, history: History) -> None:
        refused, other = (
            submit(history, network_source=source) for source in ("a = 1\n", "b = 2\n")
        )
        younger = submit(history)
        digests = {str(refused.network_digest)}
        assert history.has_queued({"any"}, digests)
        for run_id in (other.id, younger.id, refused.id):
            claim = history.claim_next("alice", LEASE, {"any"}, digests)
            assert claim is not None
            assert claim.run_id == run_id
            assert history.has_queued({"any"}, digests) is (run_id == other.id)

    def test_what_is_queued_for_the_living_workers_is_known(
        self, history: History, pinned: str
    ) -> None:
        assert history.has_queued({"avx2"})
        assert not history.has_queued({"other"})
        assert not history.has_queued(set())


class TestAsOne:
    def test_changes_of_several_runs_are_made_together_or_not_at_all(
        self, history: History
    ) -> None:
        runs = [submit(history, tags={"k": "v"}) for _ in range(3)]
        ids = [run.id for run in reversed(runs)]

        def fail_at_last(queue: Queue) -> None:
            queue.tag(ids[0], {"l": "w"}, without=["k"])
            queue.pause(ids[1])
            queue.describe(ids[2], note="two\nlines")

        with pytest.raises(InvalidLine), history.queue.as_one(ids) as queue:
            fail_at_last(queue)
        assert [run.status for run in history.runs()] == 3 * [RunStatus.QUEUED]
        assert history.tags(ids[0]) == {"k": "v"}
        with history.queue.as_one(ids) as queue:
            assert queue.tag(ids[0], {"l": "w"}, without=["k"]) == {"l": "w"}
            queue.pause(ids[1])
            with pytest.raises(StateConflict):
                queue.resume(ids[0])
            queue.set_priority(ids[2], 3)
        assert history.tags(ids[0]) == {"l": "w"}
        assert history.find_run(ids[1]).status is RunStatus.PAUSED
        assert history.find_run(ids[2]).priority == 3

    def test_a_run_that_a_person_takes_has_them_in_its_event_and_a_schedulers_has_not(
        self, history: History
    ) -> None:
        for _ in range(2):
            submit(history)
        taken_next = history.claim_next("alice", LEASE)
        assert taken_next
        other = next(run for run in history.runs() if run.id != taken_next.run_id)
        with acting(Actor("ada", "desk1")):
            history.claim(other.id, "train", LEASE)
        actors = [history.events(run_id)[-1].actor for run_id in (taken_next.run_id, other.id)]
        assert actors == [None, "ada"]
