"""Keys of submissions, on both databases: whatever is sent again is stored once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tapeworks.storage.errors import InvalidTag, SubmissionKeyReused
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tapeworks.storage.run_queue import NewRun
from tapeworks.storage.submissions import SubmissionKey

KEY = SubmissionKey(key="mine", digest="a")


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def new(name: str, **values: object) -> NewRun:
    return NewRun(
        name=name,
        configuration={},
        iterations=3,
        parameters=b"initial",
        parameters_digest="",
        **values,  # type: ignore[arg-type]
    )


def test_what_is_sent_again_finds_its_runs(history: History) -> None:
    assert history.queue.find_submission(KEY) == []
    first = history.queue.submit([new("a"), new("b"), new("c")], KEY)
    again = history.queue.submit([new("a"), new("b"), new("c")], KEY)
    assert [run.id for run in again] == [run.id for run in first]
    assert history.queue.find_submission(KEY) == again
    assert len(history.runs()) == 3


def test_another_request_with_the_same_key_is_refused(history: History) -> None:
    history.queue.submit([new("a")], KEY)
    with pytest.raises(SubmissionKeyReused, match="Received: 'mine'"):
        history.queue.submit([new("b")], SubmissionKey(key="mine", digest="b"))
    assert [run.name for run in history.runs()] == ["a"]


def test_a_submission_that_failed_leaves_its_key_free(history: History) -> None:
    with pytest.raises(InvalidTag):
        history.queue.submit([new("a"), new("b", tags={"two words": "b"})], KEY)
    history.queue.submit([new("c")], KEY)
    assert [run.name for run in history.runs()] == ["c"]


def test_a_key_goes_with_its_runs(history: History) -> None:
    first, second = history.queue.submit([new("a"), new("b")], KEY)
    history.queue.delete(first.id)
    assert [run.id for run in history.queue.submit([new("a"), new("b")], KEY)] == [second.id]
    history.queue.delete(second.id)
    assert history.queue.find_submission(KEY) == []
    assert len(history.queue.submit([new("a"), new("b")], KEY)) == 2


def test_of_many_at_once_one_is_stored(history: History) -> None:
    together = threading.Barrier(8)

    def send(_: int) -> list[RunRecord]:
        together.wait()
        return history.queue.submit([new("a"), new("b")], KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {tuple(run.id for run in answer) for answer in answers} == {
        tuple(run.id for run in reversed(history.runs()))
    }
    assert len(history.runs()) == 2
