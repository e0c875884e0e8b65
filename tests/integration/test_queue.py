"""The dispatcher on a real Redis with real workers, when answers come as they should not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from sqlalchemy import update

from tapeworks.model import parameters
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.core.coordinator import MOST_FAILURES, MOST_UNKNOWN_TOLD
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import CannotContinueHere, Interrupted, RunFailed
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, LedgerRecord, RunStatus
from tapeworks.storage.tables import runs
from tapeworks.wire.exchange import Opening
from tapeworks.wire.keys import PREFIX, answer_key, arrivals_key, payload_key
from tapeworks.wire.messages import AnswerHeader, ShardMessage
from tapeworks.wire.versions import tapeworks_version
from tests.support.fleet import Fleet
from tests.support.messages import announce, answered, message
from tests.support.mischief import Mischief, OnceSpoilt, Tampering, not_a_number, of_another_term
from tests.support.training import Digests, drive, settings, submitted, through
from tests.support.waiting import until

Undisturbed = Callable[[RunConfig], Digests]

#: A fingerprint that no worker here has.
FOREIGN = "0" * 16

#: The kind of event that names a worker of another version.
NAMED = "worker_version_differs"


@pytest.fixture
def dispatcher(fleet: Fleet) -> CeleryDispatcher:
    return CeleryDispatcher(fleet.redis_url)


@pytest.mark.parametrize("gradients", ["per-image", "summed"])
@pytest.mark.parametrize("shards", [3, 7])
def test_answers_in_reverse_and_twice_and_beside_spoilt_copies_change_no_bit(
    shards: int, gradients: str, fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    mischief = Mischief(fleet.redis_url, shards)
    run = submitted(history, settings(shards=shards, gradients=gradients))
    driven = drive(history, through(mischief), run)
    assert driven.digests == undisturbed(settings())
    assert mischief.spoilt >= shards * run.iterations
    told = min(shards, MOST_UNKNOWN_TOLD)  # the spoilt copies bear names that nobody has
    assert len(driven.said("answer_invalid")) == told * run.iterations
    for iteration in range(6):
        lines = history.ledger(run.id, iteration)
        counted = [place for line in lines for place in range(line.first_image, _end(line))]
        assert counted == list(range(run.configuration["images"]))


def _end(line: LedgerRecord) -> int:
    return line.first_image + line.image_count


def test_a_nan_that_only_one_attempt_brings_is_computed_again(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    exchange = OnceSpoilt(fleet.redis_url, not_a_number)
    driven = drive(history, through(exchange), submitted(history, settings(shards=2)))
    assert driven.digests == undisturbed(settings())
    assert len(driven.said("sent_again")) == 1


def test_a_nan_that_every_worker_brings_ends_the_run_with_the_iteration(
    fleet: Fleet, history: History
) -> None:
    exchange = OnceSpoilt(fleet.redis_url, not_a_number, times=max(2, len(fleet.ready())))
    run = submitted(history, settings(shards=1))
    with pytest.raises(RunFailed, match="NaN or infinite in iteration 0"):
        drive(history, through(exchange), run)
    failed = history.find_run(run.id)
    assert failed.status is RunStatus.FAILED
    assert "iteration 0" in str(failed.reason)


def test_an_answer_to_an_earlier_owner_of_the_run_is_not_counted(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    exchange = OnceSpoilt(fleet.redis_url, of_another_term)
    driven = drive(history, through(exchange), submitted(history, settings(shards=2)))
    assert driven.digests == undisturbed(settings())
    [sentence] = driven.said("answer_invalid")
    assert re.search(r"expected attempt \S+\.1\.\S+, received \S+\.0\.\S+", sentence)


def test_five_spoilt_answers_to_one_shard_are_borne(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    five = OnceSpoilt(fleet.redis_url, of_another_term, times=MOST_FAILURES)
    driven = drive(history, through(five), submitted(history, settings(shards=1)))
    assert driven.digests == undisturbed(settings())


@pytest.mark.usefixtures("one_by_one")
def test_late_and_unknown_arrivals_are_ignored_and_their_answers_removed(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings(shards=2))
    exchange = Tampering(fleet.redis_url)
    late = [f"{run.id}.1.0.0.1", f"{run.id}.0.1.0.1", "another.1.1.0.1", "\xff"]

    def arrive_late(record: IterationRecord) -> None:
        if record.iteration == 0:
            for attempt_id in late:
                exchange.put(attempt_id, (b"{}", b"late"))
                fleet.redis.rpush(arrivals_key(run.id), attempt_id)
            fleet.redis.rpush(arrivals_key(run.id), "", b"\xff no text")

    driven = drive(history, through(exchange), run, on_iteration=arrive_late)
    assert driven.digests == undisturbed(settings())
    assert driven.said("answer_invalid") == []
    assert fleet.redis.exists(*[answer_key(attempt_id) for attempt_id in late]) == 0


def test_a_message_of_an_earlier_iteration_is_dropped_by_the_workers(fleet: Fleet) -> None:
    old = message("moved on", iteration=3)
    announce(fleet.exchange, old.key.run, old.key.term, 4)
    fleet.exchange.send([old])
    answered(fleet, message("moved on", iteration=4))
    nothing_is_under_way(fleet)
    assert not fleet.redis.exists(answer_key(old.key.id))


def test_a_message_of_a_run_that_has_ended_is_dropped_by_the_workers(fleet: Fleet) -> None:
    old = message("over", iteration=3)
    fleet.exchange.send([old])
    answered(fleet, message("another", iteration=3))
    nothing_is_under_way(fleet)
    assert not fleet.redis.exists(answer_key(old.key.id))


def nothing_is_under_way(fleet: Fleet) -> None:
    """Wait until every worker waits for a message, and so has none in hand."""

    def waiting() -> int:
        return sum("b" in c["flags"] and c["cmd"] == "brpop" for c in fleet.redis.client_list())

    until(lambda: waiting() == len(fleet.process_ids()), "every message is dealt with")
    assert fleet.exchange.queue_length([fleet.fingerprint()]) == 0


@pytest.mark.usefixtures("one_by_one")
def test_images_and_parameters_gone_from_redis_are_published_again(
    fleet: Fleet, history: History, undisturbed: Undisturbed, dispatcher: CeleryDispatcher
) -> None:
    config = settings(seed=70)  # nobody has these parameters in hand yet

    def remove(_: IterationRecord) -> None:
        for key in fleet.redis.scan_iter(f"{PREFIX}payload:*"):
            fleet.redis.delete(key)

    driven = drive(history, dispatcher, submitted(history, config), on_iteration=remove)
    assert driven.digests == undisturbed(config)


class Losing(Tampering):
    """Loses whatever is published for the first time, an iteration's parameters as well."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lost: set[str] = set()

    def publish(self, payload: bytes, lifetime_seconds: int) -> None:
        """As the real one, from the second time on."""
        if (name := parameters.digest(payload)) in self.lost:
            super().publish(payload, lifetime_seconds)
        self.lost.add(name)

    def send(
        self,
        messages: Iterable[ShardMessage],
        opening: Opening | None = None,
        *,
        is_reserved: bool = False,
    ) -> None:
        """As the real one, but for parameters that are gone as soon as they are there."""
        super().send(messages, opening, is_reserved=is_reserved)
        if opening:
            self._redis.delete(payload_key(opening.parameters_digest))
            self.lost.add(opening.parameters_digest)


def test_what_a_worker_misses_is_published_for_it(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    config = settings(classes=(0, 9), seed=71)  # nobody has these images in hand yet
    exchange = Losing(fleet.redis_url)
    driven = drive(history, through(exchange), submitted(history, config))
    assert driven.digests == undisturbed(config)
    assert len(exchange.lost) >= config.iterations + 1
    assert driven.said("answer_invalid") == []


@pytest.mark.usefixtures("one_by_one")
def test_an_emptied_redis_is_filled_again_between_two_iterations(
    fleet: Fleet, history: History, undisturbed: Undisturbed, dispatcher: CeleryDispatcher
) -> None:
    def empty(record: IterationRecord) -> None:
        if record.iteration == 2:
            fleet.redis.flushall()

    driven = drive(history, dispatcher, submitted(history, settings()), on_iteration=empty)
    assert driven.digests == undisturbed(settings())


class WhileWaiting(Tampering):
    """Does something once, while an iteration's answers are awaited."""

    def __init__(self, url: str, wait: int, action: Callable[[], object]) -> None:
        super().__init__(url)
        self._wait, self._action = wait, action

    @property
    def has_acted(self) -> bool:
        """True once the action was done."""
        return self._wait <= 0

    def arrivals(self, run_id: str, timeout_seconds: float) -> list[str]:
        """As the real one, but for what happens before the wait of this number."""
        self._wait -= 1
        if self._wait == 0:
            self._action()
        return super().arrivals(run_id, timeout_seconds)


def test_an_emptied_redis_is_filled_again_within_an_iteration(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    exchange = WhileWaiting(fleet.redis_url, 7, fleet.redis.flushall)
    driven = drive(history, through(exchange), submitted(history, settings(shards=3)))
    assert driven.digests == undisturbed(settings())
    assert exchange.has_acted  # what workers had in hand then, they may answer all the same


def test_a_worker_that_fails_six_times_ends_the_run_with_what_it_said(
    history: History, dispatcher: CeleryDispatcher
) -> None:
    config = settings()
    incomplete = parameters.initial(config.built_in, seed=0)
    del incomplete["conv_3"]
    run = submitted(history, config, incomplete)
    with pytest.raises(RunFailed, match=r"failed 6 times.*Received: conv_1, conv_2, dense_1\.$"):
        drive(history, dispatcher, run)
    failed = history.find_run(run.id)
    assert failed.status is RunStatus.FAILED
    assert "Received: conv_1, conv_2, dense_1." in str(failed.reason)
    assert failed.completed_iterations == 0


def pin(history: History, run_id: str, fingerprint: str) -> None:
    with history.database.write() as connection:
        pinned = update(runs).where(runs.c.id == run_id).values(fingerprint=fingerprint)
        connection.execute(pinned)


def test_workers_with_another_fingerprint_are_refused_in_plain_words(
    fleet: Fleet, history: History, dispatcher: CeleryDispatcher
) -> None:
    run, control = submitted(history, settings()), Control()
    pin(history, run.id, FOREIGN)

    def stop(kind: str, _: str) -> None:
        if kind == "worker_refused":
            control.interrupt()
            control.interrupt()

    with pytest.raises(Interrupted):
        drive(history, dispatcher, run, control=control, on_notice=stop)
    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 0)
    assert left.fingerprint == FOREIGN
    told = [event.message for event in history.events(run.id) if event.kind == "worker_refused"]
    assert told
    assert all(FOREIGN in sentence and fleet.fingerprint() in sentence for sentence in told)


def test_a_worker_of_another_version_is_named_once_in_the_runs_events(
    fleet: Fleet, history: History, dispatcher: CeleryDispatcher
) -> None:
    [one, *_] = fleet.exchange.workers()
    stranger = one.model_copy(update={"name": "a-stranger", "version": "99.1"})
    run, control, told = submitted(history, settings(iterations=1000)), Control(), list[int]()

    def look_on(record: IterationRecord) -> None:
        fleet.exchange.register_worker(stranger)
        if any(event.kind == NAMED for event in history.events(run.id)):
            told.append(record.iteration)
        if len(told) > 30:  # it is not named again in so many iterations
            control.drain()

    driven = drive(history, dispatcher, run, control=control, on_iteration=look_on)
    fleet.exchange.deregister_worker("a-stranger")
    [sentence] = [event.message for event in history.events(run.id) if event.kind == NAMED]
    assert driven.said(NAMED) == [sentence]
    assert "a-stranger may refuse" in sentence
    assert f"expected Tapeworks {tapeworks_version()} as here. Received: 99.1." in sentence


def foreign(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    header = AnswerHeader.model_validate_json(answer[0])
    changed = header.model_copy(update={"fingerprint": FOREIGN, "worker": "a foreigner"})
    return changed.model_dump_json().encode(), answer[1]


def test_a_single_answer_of_another_fingerprint_is_not_counted_either(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    run = submitted(history, settings(iterations=2, shards=2))
    pin(history, run.id, fleet.fingerprint())
    driven = drive(history, through(OnceSpoilt(fleet.redis_url, foreign)), run)
    assert driven.digests == undisturbed(settings(iterations=2))
    assert len(driven.said("worker_refused")) == 1
    assert "a foreigner" not in {entry.worker for entry in history.ledger(run.id)}


def test_the_first_workers_pin_their_fingerprint_to_the_run(
    fleet: Fleet, history: History, dispatcher: CeleryDispatcher
) -> None:
    driven = drive(history, dispatcher, submitted(history, settings(iterations=1)))
    assert driven.run.fingerprint == fleet.fingerprint()


def test_one_process_has_the_fingerprint_of_the_workers_on_its_machine(
    fleet: Fleet, history: History
) -> None:
    driven = drive(history, LocalDispatcher(), submitted(history, settings(iterations=1)))
    assert driven.run.fingerprint == fleet.fingerprint()


def test_one_process_refuses_a_run_of_another_fingerprint_and_leaves_it_to_others(
    history: History,
) -> None:
    run = submitted(history, settings())
    pin(history, run.id, FOREIGN)
    with pytest.raises(CannotContinueHere, match=FOREIGN):
        drive(history, LocalDispatcher(), run)
    assert history.find_run(run.id).status is RunStatus.PAUSED


def test_a_run_that_allows_mixed_workers_takes_any(fleet: Fleet, history: History) -> None:
    run = submitted(history, settings(iterations=1, allow_mixed_workers=True))
    pin(history, run.id, FOREIGN)
    dispatcher = CeleryDispatcher(fleet.redis_url)
    assert drive(history, dispatcher, run).run.status is RunStatus.COMPLETED


def test_a_run_leaves_nothing_in_redis_that_does_not_vanish_by_itself(
    fleet: Fleet, history: History, dispatcher: CeleryDispatcher
) -> None:
    run = submitted(history, settings(test_images=8))
    drive(history, dispatcher, run)
    nothing_is_under_way(fleet)
    left = {key.decode() for key in fleet.redis.scan_iter()}
    assert [key for key in left if run.id in key] == []
    assert {key for key in left if fleet.redis.ttl(key) == -1} == set()
    assert all(key.startswith(PREFIX) for key in left), left


def test_an_interrupted_run_leaves_nothing_of_itself_in_redis_either(
    fleet: Fleet, history: History
) -> None:
    run, control = submitted(history, settings(shards=1)), Control()
    for _ in range(2):
        control.interrupt()
    exchange = WhileWaiting(fleet.redis_url, 1, lambda: None)
    with pytest.raises(Interrupted):
        drive(history, through(exchange), run, control=control)
    for key in ("current", "network"):
        assert not fleet.redis.exists(f"{PREFIX}{key}:{run.id}")
    assert not fleet.redis.exists(arrivals_key(run.id))
    assert history.find_run(run.id).status is RunStatus.PAUSED
