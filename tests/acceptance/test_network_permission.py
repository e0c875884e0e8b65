"""A user's network between real processes: who runs a byte of its file, and who never does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import source_key
from tapeworks.wire.signing import Purpose, Signer
from tests.support.calls import Call
from tests.support.processes import Start, Started, workers_of
from tests.support.traced_network import SOURCE, leaving_trace
from tests.support.training import digests
from tests.support.waiting import until

pytestmark = pytest.mark.slow

KEY, OTHER_KEY = Signer(b"k" * 32), Signer(b"o" * 32)

#: Sources that stand in Redis under the digest of another one, by who signed them.
FORGED: dict[str, Callable[[str], str]] = {
    "nobody": lambda text: text,
    "another key": lambda text: OTHER_KEY.seal(Purpose.SOURCE, text),
    "the key, for another digest": lambda text: KEY.seal(Purpose.SOURCE, text),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A user's directory with a network and its data, and the traces of those who run it."""

    places: Path
    call: Call
    start: Start
    history: History
    redis_url: str

    @property
    def file(self) -> Path:
        return self.places / "net.py"

    def runners(self) -> set[int]:
        """Processes that have run the file."""
        return {int(path.name) for path in (self.places / "traces").iterdir()}

    def submit(self, settings: str) -> RunRecord:
        """Queue a run, and forget the traces of its check."""
        called = self.call(f"submit {settings}")
        assert called.code == 0, called.err
        for path in (self.places / "traces").iterdir():
            path.unlink()
        return self.history.find_run(called.out.strip())

    def worker(self, *options: str) -> Started:
        """Start a worker's command, and wait until its worker is ready."""
        started = self.start("worker", *options)
        exchange = Exchange(self.redis_url)

        def is_ready() -> bool:
            ready = {one.pid for one in exchange.workers() if one.fingerprint}
            return bool(ready & {one.pid for one in workers_of(started)})

        until(is_ready, f"a worker is ready: {started.err}")
        return started

    def told(self, run: RunRecord, kind: str) -> list[str]:
        return [each.message for each in self.history.events(run.id) if each.kind == kind]

    def await_end(self, run: RunRecord) -> None:
        until(
            lambda: self.history.find_run(run.id).status is RunStatus.COMPLETED,
            f"run {run.id} is completed: {self.history.events(run.id)}",
        )


OWN = "--network net.py --dataset data.npz --images 40 --test-images 20 --iterations 3"


@pytest.fixture
def scene(
    places: Path, call: Call, start: Start, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    source = np.random.default_rng(0)
    images = source.standard_normal((60, 4)).astype(np.float32)
    np.savez(places / "data.npz", images=images, labels=source.integers(0, 3, 60))
    for name in ("traces", "forged", "networks"):
        (places / name).mkdir()
    (places / "net.py").write_text(leaving_trace(places / "traces"))
    (places / "signing_key").write_bytes(KEY.key)
    monkeypatch.chdir(places)
    history = History.open(places / "runs.db")
    with RedisServer() as server:
        monkeypatch.setenv("TAPEWORKS_REDIS_URL", server.url)
        yield Scene(places=places, call=call, start=start, history=history, redis_url=server.url)
    history.database.close()


def test_nobody_runs_a_file_without_permission_and_the_run_waits_for_one_who_may(
    scene: Scene,
) -> None:
    # Given a scheduler and a worker without permission, and nobody with a key.
    scheduler, plain = scene.start("scheduler"), scene.worker()
    own = scene.submit(OWN)
    [told] = until(lambda: scene.told(own, "network_not_allowed"), "the worker says so")
    digest = str(own.network_digest)
    assert told.endswith(
        f" may not run the network {digest[:12]}: start it with --networks DIRECTORY that holds "
        "the file, or with --accept-networks and a signing key."
    )
    until(lambda: scene.told(own, "no_workers"), "the run waits")
    # Others go on meanwhile.
    other = scene.submit("--images 20 --iterations 3")
    scene.await_end(other)
    assert scene.runners() == set()
    assert scene.history.find_run(own.id).completed_iterations == 0
    # A worker comes to which the operator has given the file.
    (scene.places / "networks" / "renamed.py").write_bytes(scene.file.read_bytes())
    allowed = scene.worker("--networks", "networks")
    scene.await_end(own)
    assert scene.runners() == {one.pid for one in workers_of(allowed)}
    assert not {one.pid for one in workers_of(plain)} & scene.runners()
    assert scheduler.process.pid not in scene.runners()
    assert scene.told(own, "sent_again") == []
    with redis.Redis.from_url(scene.redis_url) as client:
        assert not client.exists(source_key(digest)), "nothing is published without a key"
    # The bits are those of one process, which has the file from the database alone.
    again = scene.call(f"replay {own.id} --json")
    assert again.values["same_bits"]


#: The same network by functions of Keras's. Of a product its loss takes no logits from behind the
#: probabilities; it cuts these off at Keras's epsilon.
KERAS = SOURCE.replace("import tensorflow as tf", "import keras\nimport tensorflow as tf").replace(
    "tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))",
    "tf.keras.losses.sparse_categorical_crossentropy(\n"
    "        labels, 1.0 * keras.activations.softmax(logits(parameters, keras.ops.tanh(images)))\n"
    "    )",
)


@pytest.mark.long
def test_functions_of_keras_have_the_same_bits_everywhere_and_change_none_of_other_networks(
    scene: Scene,
) -> None:
    # Given settings of Keras of one machine that would change bits, and two workers.
    (scene.places / "keras").mkdir()
    (scene.places / "keras" / "keras.json").write_text('{"floatx": "float16", "epsilon": 0.4}')
    (scene.places / "networks" / "keras.py").write_text(KERAS)
    (scene.places / "net.py").write_text(KERAS)
    named = {"KERAS_HOME": str(scene.places / "keras"), "KERAS_BACKEND": "jax"}
    scene.start("scheduler")
    scene.start("worker", "--networks", "networks", "--processes", "2", **named)
    own, built_in = scene.submit(OWN), scene.submit("--images 60 --iterations 3")
    scene.await_end(own)
    scene.await_end(built_in)
    # Then one worker, and one process, have their bits.
    for run, options in ((own, "--workers 1"), (own, ""), (built_in, "")):
        assert scene.call(f"replay {run.id} {options} --json").values["same_bits"]


@pytest.mark.parametrize(
    "signed_by",
    [
        "another key",
        pytest.param("nobody", marks=pytest.mark.long),
        pytest.param("the key, for another digest", marks=pytest.mark.long),
    ],
)
def test_a_worker_that_accepts_networks_runs_what_is_signed_and_no_forged_one(
    scene: Scene, signed_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_SIGNING_KEY_FILE", str(scene.places / "signing_key"))
    scheduler, plain = scene.start("scheduler"), scene.worker()
    own = scene.submit(OWN)
    until(lambda: scene.told(own, "network_not_allowed"), "the worker may not")
    key = source_key(str(own.network_digest))
    with redis.Redis.from_url(scene.redis_url) as client:
        forged = leaving_trace(scene.places / "forged", SOURCE + "# another\n")
        assert client.set(key, FORGED[signed_by](forged), xx=True), "the true one was published"
        accepting = scene.worker("--accept-networks")
        scene.await_end(own)
    assert list((scene.places / "forged").iterdir()) == []
    assert scene.runners() == {one.pid for one in workers_of(accepting)}
    assert not {one.pid for one in workers_of(plain)} & scene.runners()
    assert scheduler.process.pid not in scene.runners()
    assert "is refused and not run" in accepting.err


def test_accepting_networks_without_a_key_is_refused_in_a_sentence(scene: Scene) -> None:
    for line, words in {
        "worker --accept-networks": "Expected a signing key beside --accept-networks",
        "worker --networks none": "Expected a directory of networks",
        "worker --networks net.py": "Expected a directory of networks",
    }.items():
        called = scene.call(line)
        assert called.code == 2
        [sentence] = called.err.splitlines()
        assert words in sentence
    started = scene.start(module="tapeworks.workers", TAPEWORKS_ACCEPT_NETWORKS="1")
    assert started.ended() == 2
    [sentence] = started.err.splitlines()
    assert "Expected a signing key beside --accept-networks" in sentence


@pytest.mark.long
@pytest.mark.parametrize("has_key", [False, True], ids=["no key", "a key"])
@pytest.mark.parametrize("is_named", [False, True], ids=["private Redis", "named Redis"])
def test_workers_of_a_command_run_its_own_network_and_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, has_key: bool, is_named: bool
) -> None:
    if has_key:
        monkeypatch.setenv("TAPEWORKS_SIGNING_KEY_FILE", str(scene.places / "signing_key"))
    if not is_named:
        monkeypatch.delenv("TAPEWORKS_REDIS_URL")
    # What the environment allows is for workers that are started by themselves.
    monkeypatch.setenv("TAPEWORKS_NETWORKS", "/nonexistent")
    monkeypatch.setenv("TAPEWORKS_ACCEPT_NETWORKS", "1")
    monkeypatch.setenv("TMPDIR", str(scene.places / "networks"))
    monkeypatch.setattr("tempfile.tempdir", None)
    called = scene.call(f"train {OWN} --workers 2 --name first --json")
    assert called.code == 0, called.err
    scene.file.unlink()
    here = scene.call("replay first")
    assert here.code == 0, here.err
    there = scene.call("replay first --workers 1")
    assert there.code == 0, there.err
    apart = scene.call("evaluate first --json"), scene.call("evaluate first --workers 1 --json")
    assert [each.code for each in apart] == [0, 0], apart
    assert apart[0].values == apart[1].values
    assert list((scene.places / "networks").iterdir()) == [], "nothing is left"


def test_a_run_goes_on_from_the_database_alone(scene: Scene) -> None:
    settings = f"{OWN} --workers 0"
    assert scene.call(f"train {settings} --name whole").code == 0
    assert scene.call(f"train {settings} --name parts --stop-after 1").code == 0
    scene.file.unlink()
    called = scene.call("train --resume parts --workers 0")
    assert called.code == 0, called.err
    whole, parts = (scene.history.find_run(name) for name in ("whole", "parts"))
    assert digests(scene.history, whole.id) == digests(scene.history, parts.id)
    retried = scene.call("retry whole --name again")
    assert retried.code == 0, retried.err
    assert scene.history.find_run("again").network_digest == whole.network_digest
