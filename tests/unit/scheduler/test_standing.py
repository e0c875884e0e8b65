"""Strikes: how many invalid answers a worker may give in a run."""

from __future__ import annotations

from tapeworks.scheduler.core.standing import MOST_REGISTERED, MOST_STRIKES, Standing


def test_the_last_strike_is_one_too_many() -> None:
    standing = Standing()
    assert [standing.strike("a") for _ in range(MOST_STRIKES)] == [False, False, True]


def test_strikes_are_each_workers_own() -> None:
    standing = Standing()
    assert not any(standing.strike(worker) for worker in "abcdef")


def test_who_is_quarantined_already_is_not_so_again() -> None:
    standing = Standing(quarantined=["a"])
    assert standing.quarantined == {"a"}
    assert not any(standing.strike("a") for _ in range(MOST_STRIKES + 1))


def test_made_up_names_that_fill_the_list_keep_no_living_worker_from_being_heard() -> None:
    standing = Standing()
    standing.register(f"made-up-{number}" for number in range(MOST_REGISTERED + 1))
    standing.register(["a"])
    assert standing.knows("a")
    assert not standing.knows("b")
