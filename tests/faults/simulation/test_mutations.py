"""The simulation can fail: each of these breaks a rule, and some schedule notices."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from tapeworks.scheduler.committing import Committing
from tapeworks.scheduler.core.coordinator import Coordinator
from tapeworks.scheduler.core.decisions import Answer, Attempt, Command, Diverged
from tapeworks.scheduler.core.sending import Slot
from tapeworks.scheduler.core.settling import Settling
from tapeworks.scheduler.core.standing import Standing
from tapeworks.scheduler.core.votes import Tally
from tapeworks.scheduler.dispatch.answers import worker_of
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.contract import Watcher, Work
from tapeworks.scheduler.errors import AnswerInvalid
from tapeworks.storage.commits import Commit
from tapeworks.storage.records import Claim, RunRecord
from tapeworks.wire.messages import AnswerHeader
from tests.faults.simulation.faults import Faults, Kind, drawn
from tests.faults.simulation.schedule import Failure, Schedule
from tests.faults.simulation.schedulers import Driven
from tests.faults.simulation.store import Run, Store

pytestmark = pytest.mark.long

#: Of the schedules in the ordinary test run.
SEEDS = range(2000)

Mutation = tuple[str, Any]


def nothing(*arguments: object, **named: object) -> None:
    """Do nothing where something was to be done."""


def count(tally: Tally, shard: int, answer: Answer) -> None:
    """Each answer counts as often as it comes."""
    tally._close(shard, answer)


def known(coordinator: Coordinator, attempt_id: str) -> Attempt | None:
    """An attempt is good for ever, also when it has been counted."""
    return coordinator._sending.attempts.get(attempt_id)


def without_audit(
    shards: Any, standing: Any, name: Any, audited: Any, *, is_audited: bool
) -> Coordinator:
    """Nobody is checked."""
    return Coordinator(shards, standing, name)


def two_names(coordinator: Coordinator, slot: Slot) -> list[Command]:
    """Two names are two witnesses."""
    return [Diverged()] if len(set(slot.not_finite_by)) > 1 else []


def pin_the_first(settling: Settling, shard: int) -> None:
    """One answer decides, whether or not it is counted."""
    tally, standing = settling._tally, settling._standing
    for answer in list(tally._polls[shard].votes.values())[:1]:
        if standing.fingerprint is None:
            standing.pin(answer.fingerprint)
            tally.settle(answer.fingerprint)
            settling._sending.refit()


def forgetful(quarantined: Iterable[str] = (), *arguments: Any, **named: Any) -> Standing:
    """A standing in which nobody is quarantined yet."""
    return Standing((), *arguments, **named)


def unaudited(chance: random.Random) -> Faults:
    """Nobody is audited; who would lie has a fingerprint of its own, and corrupts its answers."""
    faults = drawn(chance)
    liars = {Kind.LIAR, Kind.BROKEN}
    kinds = tuple(Kind.ODD if kind in liars else kind for kind in faults.kinds)
    return replace(faults, audit=0.0, kinds=kinds)


def counting_ahead(driven: Driven) -> float | None:
    """Look at the answers to the next iteration while those before are being committed."""
    if driven.commits and driven.gathering and not driven.gathering.finished:
        return driven._compute()
    return _step(driven)


def begin_anew(dispatcher: CeleryDispatcher, work: Work, watcher: Watcher) -> None:
    """Send the next iteration's messages and forget that."""
    _start(dispatcher, work, watcher)
    dispatcher.gathering = None


def start_one_more(driven: Driven, iteration: int, parameters: bytes) -> None:
    """Send the messages of the iteration after the next one, whose parameters nobody knows."""
    _start_next(driven, iteration + 1, parameters)


def start_from_stored(driven: Driven, iteration: int, parameters: bytes) -> None:
    """Compute the next iteration from the parameters that are stored, not from the newest."""
    _start_next(driven, iteration, driven._store.runs[driven.claim.run_id].parameters)


_step, _start, _start_next = Driven.step, CeleryDispatcher.start, Driven._start_next


def add_in_place(committing: Committing, *arguments: Any) -> None:
    """Keep the first and the newest of the iterations that wait."""
    del committing.waiting[1:]
    _add(committing, *arguments)


def commit_and_keep(committing: Committing) -> RunRecord:
    """Commit what waits, and let it wait on."""
    waiting = list(committing.waiting)
    done = _commit_all(committing)
    committing.waiting = waiting
    return done


def commit_unfenced(store: Store, claim: Claim, commits: Sequence[Commit]) -> Run:
    """Take several iterations from whoever brings them."""
    if len(commits) == 1:
        return _commit(store, claim, commits)
    with patch.object(store, "_fence", nothing):
        return _commit(store, claim, commits)


_add, _commit_all, _commit = Committing.add, Committing.commit, Store.commit


def of_any_iteration(coordinator: Coordinator, attempt_id: str) -> Attempt | None:
    """An answer is good for its shard, whatever iteration it was of."""
    shard, number = map(int, attempt_id.split(".")[-2:])
    slot = coordinator._sending.slots.get(shard)
    if slot is None or not slot.number or not coordinator._sending.is_missing(slot):
        return None
    return Attempt(id=attempt_id, shard=slot.shard, number=number, sent_at=slot.sent_at)


def any_header(payload: bytes, work: Work, attempt: Attempt) -> AnswerHeader:
    """A header that can be read is good."""
    if worker_of(payload) is None:
        raise AnswerInvalid("its header cannot be read")
    return AnswerHeader.model_validate_json(payload)


class AnyText:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


MUTATIONS: dict[str, list[Mutation]] = {
    "an answer that comes twice is counted twice": [
        ("tapeworks.scheduler.core.votes.Tally.vote", count),
        ("tapeworks.scheduler.core.coordinator.Coordinator.attempt", known),
    ],
    "an attempt's answers are taken for one another": [
        (
            "tapeworks.scheduler.core.decisions.Answer.__eq__",
            lambda one, other: one.attempt == other.attempt,
        ),
        (
            "tapeworks.scheduler.core.decisions.Answer.__hash__",
            lambda answer: hash(answer.attempt.id),
        ),
    ],
    "nothing is sent again": [
        ("tapeworks.scheduler.core.sending.Sending._may_go", lambda self, slot: slot.number == 0),
        ("tapeworks.scheduler.core.sending.Sending._copy", lambda *arguments: []),
    ],
    "no attempt is ever overdue": [
        ("tapeworks.scheduler.core.pace.Pace.deadline", lambda *arguments: float("inf")),
        ("tapeworks.scheduler.core.pace.Pace.hedge_after", lambda *arguments: float("inf")),
    ],
    "nobody is audited": [("tapeworks.scheduler.dispatch.gathering.Coordinator", without_audit)],
    "a message may go to whoever has answered it": [
        ("tapeworks.scheduler.core.sending.Sending.workers_to_skip", lambda *arguments: set()),
    ],
    "answers to other iterations are counted": [
        ("tapeworks.scheduler.core.coordinator.Coordinator.attempt", of_any_iteration),
        ("tapeworks.scheduler.dispatch.gathering.read_header", any_header),
    ],
    "what was counted of a quarantined worker stays so": [
        ("tapeworks.scheduler.core.votes.Tally.rests_on", lambda *arguments: False),
    ],
    "a new owner does not know whom others have quarantined": [
        ("tapeworks.scheduler.dispatch.link.Standing", forgetful),
    ],
    "what was added up is kept when an iteration is started over": [
        ("tapeworks.scheduler.dispatch.gathering.StartOver", AnyText),
    ],
    "checksums are not compared": [
        ("tapeworks.scheduler.dispatch.answers.checksum", lambda payload: AnyText()),
    ],
    "one NaN is believed": [("tapeworks.scheduler.core.coordinator.DIVERGED_ATTEMPTS", 1)],
    "failures end a run at once": [("tapeworks.scheduler.core.coordinator.MOST_FAILURES", 0)],
    "an old term may commit": [("tests.faults.simulation.store.Store._fence", nothing)],
    "a commit may be repeated": [
        ("tests.faults.simulation.store.Store._stands_at", nothing),
        ("tests.faults.simulation.store.Store._is_committed", lambda *arguments: False),
    ],
    "what nobody may take is sent all the same": [
        ("tapeworks.scheduler.core.sending.Sending.is_stuck", lambda *arguments: False),
    ],
    "names that nobody has end runs": [
        ("tapeworks.scheduler.core.coordinator.Coordinator._is_heard", lambda *arguments: True),
        ("tapeworks.scheduler.core.coordinator.Coordinator._judge_divergence", two_names),
    ],
    "the first answer pins the fingerprint of an audited run": [
        ("tapeworks.scheduler.core.settling.Settling.pin", pin_the_first),
        ("tapeworks.scheduler.core.settling.Settling._is_loose", False),
    ],
    "without an audit, a quarantined worker's fingerprint stays pinned": [
        ("tests.faults.simulation.schedule.drawn", unaudited),
        ("tapeworks.scheduler.core.settling.Settling._is_loose", False),
    ],
    "workers that do not agree are never asked again": [
        (
            "tapeworks.scheduler.core.settling.Settling._patience_ends",
            lambda *arguments: float("inf"),
        ),
    ],
    "a lease of a wrong clock is believed": [
        ("tests.faults.simulation.store.LEASE_SECONDS", float("inf")),
    ],
    "the next iteration is counted while those before are committed": [
        ("tests.faults.simulation.schedulers.Driven.step", counting_ahead),
    ],
    "what was sent ahead is forgotten": [
        ("tapeworks.scheduler.dispatch.celery.CeleryDispatcher.start", begin_anew),
    ],
    "the iteration after the next one is sent": [
        ("tests.faults.simulation.schedulers.Driven._start_next", start_one_more),
    ],
    "the next iteration is computed from parameters that are not the newest": [
        ("tests.faults.simulation.schedulers.Driven._start_next", start_from_stored),
    ],
    "a group is committed with a gap": [
        ("tapeworks.scheduler.committing.Committing.add", add_in_place),
        ("tests.faults.simulation.store.check_commits", nothing),
    ],
    "a group is committed after the lease was lost": [
        ("tests.faults.simulation.store.Store.commit", commit_unfenced),
    ],
    "what waits is committed in the end alone": [
        ("tapeworks.scheduler.committing.Committing.is_due", False),
    ],
    "what is committed waits for the next commit as well": [
        ("tapeworks.scheduler.committing.Committing.commit", commit_and_keep),
    ],
    "signatures are not checked": [("tapeworks.wire.signing.Signer.check", nothing)],
    "no lease is ever over": [
        ("tests.faults.simulation.store.Store._is_free", lambda self, run: not run.term)
    ],
}


def first_caught() -> int | None:
    """The first seed whose schedule fails."""
    for seed in SEEDS:
        try:
            Schedule(seed).run()
        except Failure:
            return seed
    return None


def test_what_no_audit_finds_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.simulation.schedule.drawn", unaudited)
    for seed in range(200):
        Schedule(seed).run()


@pytest.mark.parametrize("mutations", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_broken_rule_is_noticed(
    mutations: list[Mutation], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, stand_in in mutations:
        monkeypatch.setattr(name, stand_in)
    caught = first_caught()
    assert caught is not None
    print(f"caught by seed {caught}")
