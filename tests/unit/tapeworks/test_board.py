"""The table of several runs: the best of them, and what there is room for."""

from __future__ import annotations

from typing import Any

from tapeworks.cluster.watching.board import table_of
from tapeworks.cluster.watching.watched import Best, Watched, find_best
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tests.support.made_up import LEASE, commit
from tests.support.stories import evaluated, tell


def watched(history: History, run: RunRecord) -> Watched:
    one = Watched(run)
    one.look(history.find_run(run.id), history.iterations(run.id))
    return one


def two(history: History, **told: Any) -> list[Watched]:
    """The first of them has lower losses, its last one not of all images."""
    losses = {"good": [[2.0, 4.0], [1.0]], "bad": [[2.0, 5.0], [4.0]]}
    return [
        watched(history, tell(history, own, name=name, settings={"seed": seed}, **told))
        for seed, (name, own) in enumerate(losses.items())
    ]


def best_of(*runs: Watched) -> Best:
    best = find_best(runs)
    assert best
    return best


def test_without_accuracy_the_lowest_loss_is_best_and_with_it_the_highest(history: History) -> None:
    one, other = two(history)
    assert best_of(one, other) == (one, "loss", "1.0000")
    right = watched(history, tell(history, [[9.0]], evaluations=[evaluated(1, 5.0, 0.75)]))
    assert best_of(one, right, other) == (right, "accuracy on held-out images", "75.0%")
    assert find_best([]) is None


def test_losses_over_other_numbers_of_images_are_compared_by_image(history: History) -> None:
    one, _ = two(history)
    large = watched(history, tell(history, [[0.5] * 9]))
    assert best_of(one, large) == (large, "loss per image", "0.5000")
    heading, first, *_ = table_of([one, large], 150, 9)
    assert "LOSS PER IMAGE" in heading
    assert "1.0000" in first


def test_the_table_has_what_differs_and_marks_the_best(history: History) -> None:
    heading, first, second, counts, words = table_of(two(history), 100, 9)
    assert heading.split() == ["RUN", "STATUS", "ITERATIONS", "LOSS", "SEED", "IMAGES/S", "LEFT"]
    assert first.split() == ["*", "good", "completed", "2/2", "1.0000", "0", "-", "-"]
    assert second.split()[:2] == ["bad", "completed"]
    assert counts == "2 runs: 2 completed"
    assert words == "a loss is the sum over 1 image; * the best loss so far"


def test_what_runs_and_the_best_stay_in_a_table_of_few_rows_and_columns(history: History) -> None:
    best, other = two(history)
    running = tell(history, [], name="running", settings={"iterations": 9})
    claim = history.claim(running.id, "alice", LEASE)
    commit(history, claim)
    commit(history, claim, 1)
    runs = [other, best, watched(history, running)]
    _, *rows, counts, _ = table_of(runs, 150, 2)
    assert [line.split()[:2] for line in rows] == [["*", "good"], ["running", "running"]]
    assert rows[1].split()[-3:] == ["80", "2", "s"], "a quarter of a second for each of the rest"
    assert counts == "3 runs: 2 completed, 1 running; 1 not shown"
    narrow = table_of(runs, 66, 3)
    assert max(map(len, narrow)) <= 66
    assert "SEED" not in narrow[0]
    assert "LEFT" in narrow[0]
