"""A key on both sides, on one, or two keys; forgers; and rubbish in a real worker's queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tapeworks.model.config import RunConfig
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted, RunFailed
from tapeworks.storage.history import History
from tapeworks.wire import messages
from tapeworks.wire.envelopes import entry
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import QUEUE_KEY, answer_key
from tapeworks.wire.messages import AnswerHeader, Status
from tapeworks.wire.signing import UNSIGNED, VARIABLE, Purpose, Signer
from tests.faults.fuzzing.mutations import mutated_bytes
from tests.support.calls import Call
from tests.support.entries import body, changed
from tests.support.fleet import Fleet, running_fleet
from tests.support.messages import message
from tests.support.mischief import Tampering, not_a_number, with_arrays
from tests.support.training import Digests, drive, submitted, through
from tests.support.training import settings as run_settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow

Undisturbed = Callable[[RunConfig], Digests]

KEY, OTHER = Signer(b"k" * 32), Signer(b"o" * 32)

SHORT = run_settings(iterations=3, shards=4)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A Redis with one worker that has the key."""
    file = tmp_path_factory.mktemp("secrets") / "signing_key"
    file.write_bytes(KEY.key + b"\n")
    with running_fleet() as fleet:
        with pytest.MonkeyPatch.context() as patch:  # not for workers that others start
            patch.setenv(VARIABLE, str(file))
            fleet.resize(1)
        yield fleet


def log(fleet: Fleet) -> str:
    """The workers' log; read where it stands, for they go on writing at the file's end."""
    size = os.fstat(fleet.log.fileno()).st_size
    return os.pread(fleet.log.fileno(), size, 0).decode(errors="replace")


def test_a_signed_run_has_the_same_bits(
    signed: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    dispatcher = CeleryDispatcher(signed.redis_url, KEY)
    driven = drive(history, dispatcher, submitted(history, SHORT))
    assert driven.digests == undisturbed(SHORT)
    kinds = {kind for kind, _ in driven.notices}
    assert not kinds & {"signing_key_differs", "answer_forged", "answer_invalid"}


class Forger(Tampering):
    """Puts forged answers in the honest worker's name before every true one."""

    def __init__(self, url: str) -> None:
        super().__init__(url, KEY)
        self.forged = 0
        self._true: dict[str, Any] = {}

    def arrivals(self, run_id: str, timeout_seconds: float) -> list[str]:
        """Forged ones, then the true ones, which lie there again."""
        if self._true:
            for attempt_id, true in self._true.items():
                self._redis.set(answer_key(attempt_id), true, ex=60)
            arrived, self._true = list(self._true), {}
            return arrived
        arrived = super().arrivals(run_id, timeout_seconds)
        for arrival in arrived:
            if right := self.peek(arrival):
                self._true[arrival] = self._redis.getdel(answer_key(arrival))
                self._forge(arrival, right)
        return arrived

    def _forge(self, attempt_id: str, right: tuple[bytes, bytes]) -> None:
        header = AnswerHeader.model_validate_json(right[0])
        if header.status is not Status.DONE:
            return
        failed = header.model_copy(update={"status": Status.FAILED}).model_dump_json().encode()
        lies = [with_arrays(right, "conv_1", 1e-3), not_a_number(right), (failed, b""), right]
        forged = lies[self.forged % len(lies)]
        signatures = ["", OTHER.signature(Purpose.ANSWER, *forged), "0" * 64]
        self.put(attempt_id, forged, signatures[self.forged % 3])
        self.forged += 1


def test_forged_answers_never_count_blame_nobody_and_are_told_once(
    signed: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    exchange, config = Forger(signed.redis_url), run_settings(iterations=4, shards=1)
    driven = drive(history, through(exchange), submitted(history, config))
    assert driven.digests == undisturbed(config)
    assert exchange.forged >= 4
    [told] = driven.said("answer_forged")
    assert "need the same TAPEWORKS_SIGNING_KEY_FILE" in told
    kinds = {kind for kind, _ in driven.notices}
    assert not kinds & {"worker_quarantined", "answer_invalid"}


@pytest.mark.parametrize(
    ("signer", "told"), [(OTHER, "its signature does not fit"), (UNSIGNED, "it is not signed")]
)
def test_with_different_keys_nothing_is_computed_and_both_sides_say_why(
    signer: Signer, told: str, signed: Fleet, history: History
) -> None:
    driven = in_vain(history, CeleryDispatcher(signed.redis_url, signer))
    assert "cannot serve this run: expected " in driven
    assert driven.endswith("Scheduler and workers need the same TAPEWORKS_SIGNING_KEY_FILE.")
    until(lambda: f"A message is refused: {told}" in log(signed), "the worker says so")


def test_a_worker_without_the_key_is_named_to_the_operator(fleet: Fleet, history: History) -> None:
    told = in_vain(history, CeleryDispatcher(fleet.redis_url, KEY))
    assert f"expected the signing key {KEY.key_id} as here" in told
    until(lambda: "it is signed, and there is no key here" in log(fleet), "the worker says so")


def in_vain(history: History, dispatcher: CeleryDispatcher) -> str:
    """Drive a run until it is told that the keys differ; that sentence."""
    control, told = Control(), list[str]()

    def stop(kind: str, message: str) -> None:
        if kind == "signing_key_differs":
            told.append(message)
            control.interrupt()

    run = submitted(history, SHORT)
    with pytest.raises(Interrupted):
        drive(history, dispatcher, run, control=control, on_notice=stop)
    assert history.find_run(run.id).completed_iterations == 0
    return told[0]


def test_only_signed_networks_are_compiled(shared_fleet: Fleet) -> None:
    network, other = BuiltinNetwork(filters=1), BuiltinNetwork(filters=2)
    for signer, known, run in ((KEY, network, "a-run"), (OTHER, other, "b-run")):
        Exchange(shared_fleet.redis_url, signer).announce_run(run, known)
    assert Exchange(shared_fleet.redis_url, KEY).networks() == [network]
    assert not Exchange(shared_fleet.redis_url, KEY).reads_no_run()
    assert Exchange(shared_fleet.redis_url, Signer(b"t" * 32)).reads_no_run()
    assert Exchange(shared_fleet.redis_url).reads_no_run()
    Exchange(shared_fleet.redis_url).forget_run("a-run", 0)
    Exchange(shared_fleet.redis_url).forget_run("b-run", 0)
    assert not Exchange(shared_fleet.redis_url).reads_no_run()


#: What Celery would do on behalf of anybody.
CANVAS = {"task": "tapeworks.compute_shard", "args": ["x"], "kwargs": {}, "options": {}}
RIGHT = entry("{}")
COMMANDS = [
    changed(RIGHT, top={"content-type": "application/x-python-serialize", "body": "gASVAAAA"}),
    changed(RIGHT, headers={"task": "celery.group"}),
    changed(RIGHT, headers={"task": "celery.backend_cleanup"}, top={"body": body([], {}, {})}),
    changed(RIGHT, headers={"eta": "2999-01-01T00:00:00+00:00", "timelimit": [0.001, 0.001]}),
    changed(RIGHT, properties={"priority": 10**9, "delivery_tag": None, "delivery_info": "x"}),
    changed(RIGHT, top={"body": body(["{}"], {}, {"callbacks": [CANVAS], "errbacks": [CANVAS]})}),
    changed(RIGHT, top={"body": body(["{}"], {}, {"chain": [CANVAS], "chord": CANVAS})}),
    b"",
    b"null",
    b"[" * 200_000,
    b'{"properties": {}}',
    b"\xff" * 100,
]


@pytest.mark.parametrize("with_key", [True, False])
def test_a_worker_outlives_any_rubbish_in_its_queue(
    with_key: bool,
    request: pytest.FixtureRequest,
    history: History,
    undisturbed: Undisturbed,
) -> None:
    fleet: Fleet = request.getfixturevalue("signed" if with_key else "fleet")
    signer = KEY if with_key else UNSIGNED
    before = fleet.ready()
    for rubbish in [*COMMANDS, *spoilt_entries(signer, 300)]:
        fleet.redis.lpush(QUEUE_KEY, rubbish)
    until(lambda: fleet.exchange.queue_length() == 0, "the queue is empty")
    driven = drive(history, CeleryDispatcher(fleet.redis_url, signer), submitted(history, SHORT))
    assert driven.digests == undisturbed(SHORT)
    assert fleet.ready() == before, "no worker was started anew"
    assert fleet.redis.llen(QUEUE_KEY) == 0, "nothing was sent on anybody's behalf"
    assert "An entry of the queue is dropped" in log(fleet)


def spoilt_entries(signer: Signer, count: int) -> list[bytes]:
    """Entries of a message that no run waits for, spoilt in their bytes."""
    sealed = signer.seal(Purpose.MESSAGE, message("no-run", 0).model_dump_json())
    right, made = entry(sealed), list[bytes]()

    @seeded(1)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def spoil(data: st.DataObject) -> None:
        made.append(mutated_bytes(data.draw, right, right))

    spoil()
    return made


@pytest.mark.parametrize("command", ["scheduler", "worker", "train --workers 1"])
def test_a_key_that_is_none_is_told_before_anything_starts(
    command: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "key").write_text("short")
    monkeypatch.setenv(VARIABLE, str(places / "key"))
    called = call(command)
    assert called.code == 2
    assert "expected a key of 32 to 4096 bytes. Received: 5" in called.last_words
    assert not (places / "runs.db").exists()


def test_a_shard_that_no_worker_may_be_asked_ends_the_run_in_plain_words(
    shared_fleet: Fleet, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "LARGEST_ANSWER_BYTES", 7)
    exchange = Exchange(shared_fleet.redis_url)
    run = submitted(history, run_settings(shards=1))
    with pytest.raises(RunFailed, match=r"Expected at most 7 bytes of an answer\. Received: "):
        drive(history, through(exchange), run)
    exchange._redis.close()  # which the error would keep open
