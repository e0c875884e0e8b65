"""The drill's faults: drawn from the seed alone, and each does what its name says."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from tapeworks.model.engine.slices import answer_arrays
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import all_finite, to_bytes
from tapeworks.scheduler.dispatch.answers import read_arrays, read_header
from tapeworks.scheduler.errors import AnswerInvalid
from tests.faults.chaos.faults import (
    FITTING_LIE,
    LIES,
    LINKS,
    LONGEST_WAIT_SECONDS,
    SHORTEST_WAIT_SECONDS,
    possibilities,
    schedule,
)
from tests.faults.chaos.figure import lane
from tests.faults.chaos.liar import spoilt
from tests.support import answers


def test_the_same_seed_gives_the_same_faults() -> None:
    possible = possibilities("sqlite", links=True)

    def drawn(seed: int) -> list[object]:
        return list(islice(schedule(seed, possible), 200))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("links", [True, False])
def test_every_possible_fault_comes_up_as_often_as_it_should(database: str, links: bool) -> None:
    possible = possibilities(database, links)
    deck = sum(one.weight for one in possible)
    faults = list(islice(schedule(3, possible), 3 * deck))

    expected = {(one.victim, one.kind): 3 * one.weight for one in possible}
    assert Counter((fault.victim, fault.kind) for fault in faults) == expected
    assert links == any(fault.victim == "link" for fault in faults)
    bounds = {(one.victim, one.kind): one.seconds for one in possible}
    for fault in faults:
        shortest, longest = bounds[fault.victim, fault.kind]
        assert shortest <= fault.seconds <= longest
        assert SHORTEST_WAIT_SECONDS <= fault.wait_seconds <= LONGEST_WAIT_SECONDS
        assert 0 <= fault.place < 1
        assert fault.lie in LIES


def test_only_the_wanted_lies_are_told() -> None:
    faults = islice(schedule(3, LINKS, [FITTING_LIE]), 20)

    assert {fault.lie for fault in faults} == {FITTING_LIE}


def counts(lie: str, wanted: GradientForm) -> bool:
    """Report whether the scheduler counts an answer with this lie in it."""
    asked = answers.work(wanted)
    payload = to_bytes(answer_arrays(answers.results(asked), asked.network, wanted))
    header, told = spoilt(answers.header(asked, payload), payload, lie)
    attempt = answers.attempt(asked)
    assert (header, told) != (answers.header(asked, payload), payload)
    try:
        read = read_header(header.model_dump_json().encode(), asked, attempt)
        return all_finite(read_arrays(told, read, asked, attempt))
    except AnswerInvalid:
        return False


@pytest.mark.parametrize("wanted", [GradientForm.PER_IMAGE, GradientForm.SUMMED])
def test_the_scheduler_sees_through_every_lie_but_the_fitting_one(wanted: GradientForm) -> None:
    assert [lie for lie in (*LIES, FITTING_LIE) if counts(lie, wanted)] == [FITTING_LIE]


def test_an_unknown_lie_is_refused() -> None:
    with pytest.raises(ValueError, match="known lies"):
        counts("the truth", GradientForm.PER_IMAGE)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("worker-2 process 17", "worker-2"),
        ("scheduler-1", "scheduler-1"),
        ("proxy", "worker-1"),
        ("link-3", "worker-3"),
        ("link-4", "liar"),
        ("liar: flipped bit", "liar"),
        ("redis", "redis"),
    ],
)
def test_a_fault_is_drawn_where_it_struck(target: str, expected: str) -> None:
    assert lane(target, groups=3) == expected
