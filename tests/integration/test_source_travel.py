"""A user's source on its way: who runs it, and who never does, whatever lies in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.errors import VariableUnreadable
from tapeworks.model.networks.own import allowed
from tapeworks.model.networks.own.spec import LONGEST_SOURCE, LONGEST_SOURCE_BYTES
from tapeworks.model.settings import Settings
from tapeworks.scheduler.core import coordinator
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.wire.errors import SigningKeyUnusable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import source_key
from tapeworks.wire.limits import LARGEST_SOURCE_BYTES
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status, checksum
from tapeworks.wire.signing import UNSIGNED, Purpose, Signer
from tapeworks.workers import tasks
from tapeworks.workers.sources import allow_networks
from tapeworks.workers.worker import Worker
from tests.faults.fuzzing.problem import work
from tests.support.source_travel import FINGERPRINT, Scene, answer
from tests.support.traced_network import SOURCE, leaving_trace, own_network

KEY, OTHER_KEY = Signer(b"k" * 32), Signer(b"o" * 32)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture(autouse=True)
def clean(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is allowed yet in this process, Redis is empty, and nobody pauses."""
    monkeypatch.setattr(allowed, "_allowed", {})
    monkeypatch.setattr(tasks, "LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(coordinator, "LEFT_SECONDS", 0.0)
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@dataclass
class Traced:
    """A source that leaves a trace where it is run."""

    source: str
    place: Path

    def is_run(self) -> bool:
        return any(self.place.iterdir())


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    place = tmp_path / "traces"
    place.mkdir()
    return Traced(leaving_trace(place), place)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "networks"
    directory.mkdir()
    return directory


def scene(url: str, traced: Traced, signer: Signer = UNSIGNED) -> Scene:
    return Scene(url, traced.source, signer, own_network(traced.source))


def test_a_worker_without_permission_says_what_to_do_and_is_left_out_without_blame(
    url: str, traced: Traced
) -> None:
    made = scene(url, traced, KEY)
    worker = made.worker({})
    header = made.turn(worker)
    assert header is not None
    assert header.status is Status.NOT_ALLOWED
    sentence = (
        f"Worker worker-1 may not run the network {made.network.source_digest[:12]}: start it with "
        "--networks DIRECTORY that holds the file, or with --accept-networks and a signing key."
    )
    assert header.detail == sentence
    assert not traced.is_run()
    assert allowed._allowed == {}
    # The run's history says so once, and that it waits; nothing is sent to this worker again.
    assert made.onlooker.told("network_not_allowed") == [sentence]
    for _ in range(3):
        assert made.turn(worker) is None
    assert made.onlooker.sent == 1
    assert made.link.workers == frozenset()
    assert made.onlooker.told("no_workers") == [
        "No worker that may run this run's network is ready; waiting for one."
    ]
    assert not made.link.standing._strikes
    assert not made.link.standing.quarantined


def test_a_worker_that_may_gets_what_another_may_not_and_one_that_comes_back_is_asked_again(
    url: str, traced: Traced, directory: Path
) -> None:
    made = scene(url, traced)
    first = made.worker({}, "worker-1")
    assert [made.turn(first) is None, made.turn(first) is None] == [False, True]
    (directory / "net.py").write_text(traced.source)
    other = made.worker(allow_networks(directory), "worker-2")
    header = made.turn(other)
    assert header is not None
    assert header.status is Status.DONE
    assert made.gathering.finished
    assert made.onlooker.told("going_on") == ["Workers are there; going on."]
    # Gone and back, as after a restart, the first one may have been given the file.
    assert made.link.standing.not_allowed == {"worker-1"}
    made.link.standing.register(["worker-2"])
    assert made.link.standing.not_allowed == set()


def test_who_may_not_run_a_network_is_offered_no_message_once_all_others_have_run_it(
    url: str, traced: Traced, directory: Path
) -> None:
    made = scene(url, traced)
    (directory / "net.py").write_text(traced.source)
    plain, other = made.worker({}, "worker-1"), made.worker(allow_networks(directory), "worker-2")
    assert plain.queues == [None, FINGERPRINT]
    assert other.queues == [None, FINGERPRINT, "networks", f"networks.{FINGERPRINT}"]
    # Given a refusal and an answer,
    statuses = [header.status for one in (plain, other) if (header := made.turn(one))]
    assert statuses == [Status.NOT_ALLOWED, Status.DONE]
    # The next iteration's messages lie where the first worker does not look,
    made.begin()
    assert made.turn(other) is None
    made.queue = f"networks.{FINGERPRINT}"
    header = made.turn(other)
    assert header is not None
    assert header.status is Status.DONE
    assert made.link.queue_length == 1, "it was seen there"
    # until another one comes, of which nothing is known.
    made.worker({}, "worker-3")
    made.begin()
    made.queue = FINGERPRINT
    made.link._looked_at = float("-inf")
    assert made.sent() is not None


def test_a_file_that_is_added_while_the_worker_runs_is_found_by_its_text(
    url: str, traced: Traced, directory: Path
) -> None:
    made = scene(url, traced)
    worker = made.worker(allow_networks(directory))
    (directory / "changed.py").write_text(traced.source + "# changed\n")
    (directory / "net.txt").write_text(traced.source)
    (directory / "long.py").write_text("#" * (LONGEST_SOURCE + 1))
    (directory / "longer.py").write_bytes(b"#" * (LONGEST_SOURCE_BYTES + 1))
    (directory / "binary.py").write_bytes(b"\xff\xfe")
    (directory / "directory.py").mkdir()
    with pytest.raises(Exception, match="may not run"):
        worker.sources.admit(made.network)
    (directory / "any name.py").write_bytes(traced.source.encode())
    worker.sources.admit(made.network)
    assert not traced.is_run(), "it is not run before it is needed"
    header = made.turn(worker)
    assert header is not None
    assert header.status is Status.DONE
    assert traced.is_run()


def test_line_ends_are_part_of_a_text(url: str, directory: Path) -> None:
    dos = SOURCE.replace("\n", "\r\n")
    (directory / "net.py").write_bytes(dos.encode())
    made = Scene(url, dos, UNSIGNED, own_network(dos))
    header = made.turn(made.worker(allow_networks(directory)))
    assert header is not None
    assert header.status is Status.DONE


def test_a_worker_that_accepts_networks_fetches_what_is_signed(url: str, traced: Traced) -> None:
    made = scene(url, traced, KEY)
    header = made.turn(made.worker(allow_networks(None, accepts=True)))
    assert header is not None
    assert header.status is Status.DONE
    assert made.gathering.finished
    assert traced.is_run()


def signed_by(signer: Signer, purpose: Purpose = Purpose.SOURCE) -> Callable[[str], bytes]:
    return lambda source: signer.seal(purpose, source).encode()


FORGED: dict[str, Callable[[str], bytes]] = {
    "unsigned": str.encode,
    "signed with another key": signed_by(OTHER_KEY),
    "signed for another purpose": signed_by(KEY, Purpose.MESSAGE),
    "another text, rightly signed": lambda source: signed_by(KEY)(source + "# another\n"),
    "changed behind its signature": lambda source: signed_by(KEY)(source) + b"\n",
    "no text": lambda source: signed_by(KEY)(source).replace(b"import", b"\xff\xfe", 1),
    "too long": lambda source: signed_by(KEY)(source + "#" * LARGEST_SOURCE_BYTES),
    "empty": lambda _: b"",
    "gone": lambda _: b"gone",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_source_is_never_run_and_the_true_one_is_published_again(
    kind: str, url: str, traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    made = scene(url, traced, KEY)
    worker = made.worker(allow_networks(None, accepts=True))
    key = source_key(made.network.source_digest)
    if kind == "gone":
        made.redis.delete(key)
    else:
        made.redis.set(key, FORGED[kind](traced.source))
    header = made.turn(worker)
    assert header is not None
    assert (header.status, header.missing) == (Status.MISSING, (made.network.source_digest,))
    assert not traced.is_run()
    assert allowed._allowed == {}
    lasting = {"too long", "empty", "gone"}  # nothing that could be checked
    refused = "is refused and not run" in caplog.text
    assert refused is (kind not in lasting)
    # The scheduler has published the true one again, with which the same worker goes on.
    while not made.gathering.finished:
        made.turn(worker)
    assert traced.is_run()
    assert made.link.standing.not_allowed == set()


def test_what_is_published_is_no_longer_than_what_is_read_and_only_with_a_key(url: str) -> None:
    longest = "€" * LONGEST_SOURCE
    Exchange(url, UNSIGNED).publish_source(longest)
    with redis.Redis.from_url(url) as client:
        assert client.keys() == []
        exchange = Exchange(url, KEY)
        exchange.publish_source(longest)
        [key] = client.keys()
        assert 0 < client.ttl(key) <= 3600
        assert exchange.fetch_source(allowed.source_digest(longest)) == longest
    assert LARGEST_SOURCE_BYTES > LONGEST_SOURCE_BYTES


def test_nobody_accepts_networks_without_a_key_nor_takes_a_file_for_a_directory(
    url: str, tmp_path: Path
) -> None:
    for settings, error, words in [
        (allow_networks(None, accepts=True), SigningKeyUnusable, "Expected a signing key"),
        (allow_networks(tmp_path / "none"), VariableUnreadable, "Expected a directory"),
        ({Settings.accept_networks.variable: "maybe"}, VariableUnreadable, "as 1 or 0"),
    ]:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in settings.items():
                patch.setenv(variable, value)
            with pytest.raises(error, match=words):
                Worker(Exchange(url, UNSIGNED))


HOSTILE: dict[str, dict[str, object]] = {
    "a digest nobody has": {"source_digest": "f" * 64},
    "other shapes": {"arrays": (("matrix", (3, 4)),)},
    "other names": {"arrays": (("other", (4, 3)),)},
    "an option of another name": {"options": (("images", 1),)},
    "long options": {"options": tuple((f"option_{n}", "x" * 4000) for n in range(64))},
    "images of another shape": {"input_shape": (5, 5)},
    "labels of another shape": {"target_shape": (7,)},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_network_in_a_message_harms_nobody(
    kind: str, url: str, traced: Traced, directory: Path
) -> None:
    # Given a worker that may run the file, and a message that describes it wrongly.
    made = scene(url, traced)
    (directory / "net.py").write_text(traced.source)
    worker = made.worker(allow_networks(directory))
    changed = own_network(traced.source, **HOSTILE[kind])
    asked = made.asked()
    hostile = asked.model_copy(update={"network": changed})
    first = answer(worker, hostile.model_dump_json())
    second = answer(worker, asked.model_dump_json())
    # Options that no function names are left out; what cannot be computed is told.
    harmless = {Status.DONE} if "option" in kind else {Status.FAILED, Status.NOT_ALLOWED}
    assert first.status in harmless
    assert "\n" not in first.detail
    assert second.status is Status.DONE


IMPOSSIBLE: dict[str, dict[str, object]] = {
    "parameters": {"arrays": (("matrix", (2**20, 2**20)),)},
    "images": {"input_shape": (2**20, 2**20)},
    "labels": {"target_shape": (2**20, 2**20)},
    "a long option": {"options": (("x", "y" * 5000),)},
    "many options": {"options": tuple((f"n{n}", n) for n in range(65))},
    "no digest": {"source_digest": "../../etc"},
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_a_network_that_nobody_can_hold_is_no_message(kind: str, url: str) -> None:
    made = Scene(url, SOURCE, UNSIGNED, own_network())
    asked = made.asked().model_dump(mode="json")
    with pytest.raises(ValueError, match="validation error"):
        ShardMessage.model_validate(asked | {"network": asked["network"] | IMPOSSIBLE[kind]})


def test_the_built_in_network_needs_nobodys_permission(url: str) -> None:
    made = Scene(url, SOURCE, UNSIGNED, own_network())
    gathering = Gathering(made.link, work(), made.onlooker)
    gathering._send_due()
    worker = made.worker({})
    [attempt] = gathering._coordinator._sending.attempts.values()
    key = work().key(0, attempt.number)
    header = AnswerHeader(
        key=key,
        parameters_digest=work().parameters_digest,
        status=Status.NOT_ALLOWED,
        worker="worker-1",
        fingerprint=FINGERPRINT,
        seconds=0.0,
        payload_checksum=checksum(b""),
    )
    worker.exchange.answer(header, b"")
    gathering._take_arrived(0.1)
    assert made.link.standing.not_allowed == set()
    assert made.onlooker.told("network_not_allowed") == []


ENDING = {
    "an error": "raise RuntimeError('one\\n\\ntwo')",
    "an exit": "raise SystemExit('enough')",
    "an error without words": (
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute"
    ),
    "a syntax error": "def",
}


@pytest.mark.parametrize("kind", ENDING)
def test_what_a_users_code_raises_is_a_failure_in_one_line_and_ends_no_worker(
    kind: str, url: str, directory: Path
) -> None:
    source = ENDING[kind]
    (directory / "net.py").write_text(source)
    made = Scene(url, source, UNSIGNED, own_network(source))
    header = made.turn(made.worker(allow_networks(directory)))
    assert header is not None
    assert header.status is Status.FAILED
    assert header.detail
    assert "\n" not in header.detail
