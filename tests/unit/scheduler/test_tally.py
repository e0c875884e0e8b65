"""One poll for each shard: which answer is counted, and who was wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.scheduler.core.decisions import Answer, Attempt
from tapeworks.scheduler.core.votes import AUDIT_VOTES, Tally
from tests.support.coordination import shards

[SHARD] = shards(1)
ATTEMPT = Attempt(id="one", shard=SHARD, number=1, sent_at=0.0)


def vote(worker: str, bits: str = "right") -> Answer:
    return Answer(attempt=ATTEMPT, worker=worker, bits=bits, seconds=0.1)


def polled(*votes: Answer, audited: bool = True) -> Tally:
    tally = Tally([0], [0] if audited else [])
    for one in votes:
        tally.vote(0, one)
    return tally


def test_without_an_audit_the_first_answer_is_counted_and_no_other() -> None:
    first = vote("a")
    tally = polled(first, vote("b", "other"), audited=False)
    assert tally.is_complete
    assert tally.get_counted(0) is first
    assert tally.voters(0) == {"a"}
    assert tally.find_outvoted(0) == []


def test_an_audited_shard_is_counted_when_two_agree() -> None:
    first = vote("a")
    assert polled(first).is_missing(0)
    tally = polled(first, vote("b"))
    assert not tally.is_missing(0)
    assert tally.get_counted(0) is first


def test_the_same_worker_twice_is_not_two() -> None:
    tally = polled(vote("a"), vote("a"))
    assert tally.is_missing(0)


def test_a_third_decides_between_two_and_the_wrong_one_is_named() -> None:
    tally = polled(vote("a", "wrong"), vote("b"))
    assert tally.is_disputed(0)
    assert tally.find_outvoted(0) == []
    tally.vote(0, vote("c"))
    assert not tally.is_disputed(0)
    assert tally.find_outvoted(0) == [("a", "b")]
    assert tally.get_counted(0).worker == "b"


def test_two_answers_to_one_attempt_are_told_apart() -> None:
    lie, truth = vote("a", "wrong"), vote("b")
    tally = polled(truth, lie, vote("c"))
    assert lie.attempt.id == truth.attempt.id
    assert tally.get_counted(0) is truth
    assert tally.get_counted(0) != lie


def test_waived_one_answer_is_enough() -> None:
    tally = polled(vote("a"))
    tally.waive(0)
    assert tally.is_complete


def test_where_two_must_agree_an_answer_tells_its_bits() -> None:
    with pytest.raises(ValueError, match="Expected the bits of an answer to shard 0"):
        polled(vote("a", ""))
    assert polled(vote("a", ""), audited=False).is_complete


def test_answers_are_taken_as_counted_once_and_in_their_order() -> None:
    tally = Tally([0, 1, 2], [0])
    first, second, third = vote("a"), vote("a"), vote("b")
    tally.vote(0, first)
    tally.vote(1, second)
    tally.vote(0, third)
    assert tally.take_counted() == [second, first]
    assert tally.take_counted() == []


def test_the_word_of_an_outvoted_worker_was_not_needed_and_of_the_others_it_was() -> None:
    tally = polled(vote("a"), vote("b", "wrong"), vote("c"))
    assert [tally.rests_on(worker) for worker in "abcd"] == [True, False, True, False]
    tally.discard("b")
    assert tally.is_complete
    assert tally.voters(0) == {"a", "c"}


def test_started_over_nothing_is_counted_and_what_was_to_be_audited_still_is() -> None:
    tally = polled(vote("a"))
    tally.waive(0)
    tally.start_over(must_agree=False)
    assert tally.take_counted() == []
    tally.vote(0, vote("a"))
    assert tally.is_missing(0)
    tally.vote(0, vote("b"))
    assert tally.is_complete


@given(
    votes=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), max_size=12),
    audited=st.booleans(),
)
def test_a_shard_is_counted_exactly_while_enough_workers_agree(
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
        right = tally.get_counted(0).bits
        assert list(first.values()).count(right) >= needed
        assert {wrong for wrong, _ in tally.find_outvoted(0)} == {
            worker for worker, bits in first.items() if bits != right
        }
