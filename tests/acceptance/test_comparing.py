"""`tapeworks compare`, called by a user whose history holds runs with chosen numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.desk import nothing_changes, told_in_one_sentence
from tests.support.stories import evaluated, tell

LOSSES = [[3.0, 1.0], [2.0, 0.5], [1.0, 0.25]]


@pytest.fixture
def history(places: Path) -> Iterator[History]:
    history = History.open(places / "runs.db")
    tell(history, LOSSES, name="one", evaluations=[evaluated(3, 2.0, 0.75)], tags={"grid": "a"})
    tell(history, LOSSES, name="same", settings={"shards": 2}, tags={"grid": "a"})
    tell(history, [LOSSES[0], [2.0, 0.75], [1.0, 0.25]], name="other", note="changed")
    tell(history, [], name="waiting", settings={"learning_rate": 0.01})
    yield history
    history.database.close()


def test_two_runs_of_one_configuration_stand_side_by_side(history: History, call: Call) -> None:
    called = call("compare one same --at 1")
    assert (called.code, called.err) == (0, "")
    lines = [line.split() for line in called.out.splitlines()]
    assert lines[:5] == [
        ["one", "same"],
        ["shards", "-", "2"],
        ["first", "loss", "4.0000", "4.0000"],
        ["loss", "in", "1", "2.5000", "2.5000"],
        ["lowest", "1.2500", "in", "2", "1.2500", "in", "2"],
    ]
    assert called.out.endswith(
        "\none and same have one configuration and the same bits in all 3 iterations that both "
        "have.\n"
    )


def test_where_two_runs_differ_first_is_told(history: History, call: Call) -> None:
    called = call("compare one same other")
    assert called.out.splitlines()[-1] == (
        "one and other have one configuration and differ first in the loss of image 1 in "
        "iteration 1: 0.5 against 0.75."
    )
    assert "All settings are the same." in call("compare one other").out
    assert "All settings are the same." not in called.out


def test_programs_read_all_of_it(history: History, call: Call) -> None:
    one, other = (history.find_run(name) for name in ("one", "other"))
    values = call("compare one other waiting --at 1 --at 2 --json").values
    assert values["differing"] == {
        "iterations": [3, 3, 1],
        "learning_rate": [0.001, 0.001, 0.01],
        "status": ["completed", "completed", "queued"],
        "completed_iterations": [3, 3, 0],
        "note": [None, "changed", None],
        "fingerprint": ["avx2", "avx2", None],
        "images_digest": ["images", "images", None],
        "tag grid": ["a", None, None],
    }
    assert [run["losses"] for run in values["runs"]] == [
        {"1": 2.5, "2": 1.25},
        {"1": 2.75, "2": 1.25},
        {"1": None, "2": None},
    ]
    [evaluation] = values["runs"][0]["evaluations"]
    assert (evaluation["completed_iterations"], evaluation["accuracy"]) == (3, 0.75)
    lowest = [(run["lowest_loss"], run["lowest_in"]) for run in values["runs"]]
    assert lowest == [(1.25, 2), (1.25, 2), (None, None)]
    assert values["one_configuration"] == [
        {
            "one": one.id,
            "other": other.id,
            "iterations": 3,
            "recorded": 3,
            "same_bits": False,
            "promised": True,
            "parting": {"iteration": 1, "what": "loss", "values": ["0.5", "0.75"], "image": 1},
        }
    ]


def test_the_loss_curves_are_drawn_in_one_picture(history: History, call: Call) -> None:
    called = call("compare one same other --plot curves.svg --json")
    assert (called.code, called.values["runs"][0]["name"]) == (0, "one")
    assert called.last_words == f"Loss curves: {Path('curves.svg').resolve()}"
    picture = Path("curves.svg").read_text()
    assert all(f"<!-- {name} -->" in picture for name in ("one", "same", "other"))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("compare", 2, "RUN"),
        ("compare one", 2, "two or more different runs"),
        ("compare one one", 2, "two or more different runs"),
        ("compare one nothing", 3, "no run 'nothing'"),
        ("compare one same --at -1", 2, "--at"),
        ("compare one same --at x", 2, "--at"),
        ("compare one waiting --plot curves.png", 2, "no iteration yet"),
        ("compare one same --plot curves.gif", 2, "ending in .png, .svg or .pdf"),
        ("compare one same --plot nowhere/curves.png", 2, "nowhere"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence_and_leaves_nothing(
    line: str, code: int, words: str, history: History, places: Path, call: Call
) -> None:
    with nothing_changes(places):
        called = call(line)
    told_in_one_sentence(called, code, words)
