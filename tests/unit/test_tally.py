"""One poll for each microbatch: which answer is counted, and who was wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.commands import Answer, Attempt
from scheduler.tally import AUDIT_VOTES, Tally
from tests.support.coordination import shards

[SHARD] = shards(1)
ATTEMPT = Attempt(id="one", shard=SHARD, number=1, sent_at=0.0)


def vote(worker: str, bits: str = "right") -> Answer:
    return Answer(attempt=ATTEMPT, worker=worker, bits={0: bits}, seconds=0.1)


def polled(*votes: Answer, audited: bool = True) -> Tally:
    tally = Tally([0], [0] if audited else [])
    for one in votes:
        tally.vote(0, one)
    return tally


def test_without_an_audit_the_first_answer_is_counted_and_no_other() -> None:
    first = vote("a")
    tally = polled(first, vote("b", "other"), audited=False)
    assert tally.is_complete
    assert tally.holder(0) is first
    assert tally.voters(0) == {"a"}
    assert tally.proved_wrong(0) == []


def test_an_audited_microbatch_is_held_when_two_agree() -> None:
    first = vote("a")
    assert polled(first).is_missing(0)
    tally = polled(first, vote("b"))
    assert not tally.is_missing(0)
    assert tally.holder(0) is first


def test_the_same_worker_twice_is_not_two() -> None:
    tally = polled(vote("a"), vote("a"))
    assert tally.is_missing(0)


def test_a_third_decides_between_two_and_the_wrong_one_is_named() -> None:
    tally = polled(vote("a", "wrong"), vote("b"))
    assert tally.is_disputed(0)
    assert tally.proved_wrong(0) == []
    tally.vote(0, vote("c"))
    assert not tally.is_disputed(0)
    assert tally.proved_wrong(0) == [("a", "b")]
    assert tally.holder(0).worker == "b"


def test_two_answers_to_one_attempt_are_told_apart() -> None:
    lie, truth = vote("a", "wrong"), vote("b")
    tally = polled(truth, lie, vote("c"))
    assert lie.attempt.id == truth.attempt.id
    assert tally.holder(0) is truth
    assert tally.holder(0) != lie


def test_waived_one_answer_is_enough() -> None:
    tally = polled(vote("a"))
    tally.waive(0)
    assert tally.is_complete


def test_what_rested_on_a_discarded_worker_is_missing_and_audited_again() -> None:
    tally = polled(vote("a"))
    tally.waive(0)
    assert tally.discard("a") == [0]
    tally.vote(0, vote("b"))
    assert tally.is_missing(0)
    tally.vote(0, vote("c"))
    assert tally.is_complete


def test_what_enough_others_found_too_stays_held() -> None:
    tally = polled(vote("a"), vote("b", "wrong"), vote("c"))
    assert tally.discard("b") == []
    assert tally.is_complete
    assert tally.discard("c") == [0]


@given(
    votes=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), max_size=12),
    audited=st.booleans(),
)
def test_a_microbatch_is_held_exactly_while_enough_workers_agree(
    votes: list[tuple[str, str]], audited: bool
) -> None:
    tally, needed = Tally([0], [0] if audited else []), AUDIT_VOTES if audited else 1
    first: dict[str, str] = {}
    for worker, bits in votes:
        if tally.is_missing(0):
            first.setdefault(worker, bits)
        tally.vote(0, vote(worker, bits))
        counts = [list(first.values()).count(bits) for bits in first.values()]
        assert tally.is_complete == (max(counts) >= needed)
    if tally.is_complete:
        right = tally.holder(0).bits[0]
        assert list(first.values()).count(right) >= needed
        assert {wrong for wrong, _ in tally.proved_wrong(0)} == {
            worker for worker, bits in first.items() if bits != right
        }
