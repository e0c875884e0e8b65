"""MNIST from Keras's cache, and its download, tried against servers on this machine only."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model.config import run_config
from tapeworks.model.datasets import Split, load
from tapeworks.model.datasets import mnist as keras_cache
from tapeworks.model.errors import DatasetError


def load_mnist() -> Split:
    values = {"dataset": "mnist", "image_side": 4, "kernel_sizes": (2,), "images": 2}
    return load(run_config(values))


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A small file of MNIST's form, which hence has another hash than MNIST's."""
    images, labels = np.arange(64, dtype=np.uint8).reshape(4, 4, 4), np.array([3, 6, 3, 6])
    file = io.BytesIO()
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return file.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of mnist.npz in an empty cache; only servers on this machine can be reached."""
    for name in ("TAPEWORKS_DATA_DIR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_cache, "MNIST_URL", "http://127.0.0.1:1/mnist.npz")
    return tmp_path / "datasets" / "mnist.npz"


@pytest.fixture
def server(archive: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serves the archive at MNIST's address, anything else is not found; the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path == "/mnist.npz"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(archive) if found else 0))
            self.end_headers()
            self.wfile.write(archive if found else b"")

        def log_message(self, *values: object) -> None:
            """Stays quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        url = f"http://127.0.0.1:{listening.server_port}/mnist.npz"
        monkeypatch.setattr(keras_cache, "MNIST_URL", url)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield asked
        listening.shutdown()
        thread.join()


def accept(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_cache, "MNIST_SHA256", hashlib.sha256(content).hexdigest())


def test_a_download_that_cannot_connect_says_how_to_go_on(cache: Path) -> None:
    sentence = r"could not be downloaded from http://127\.0\.0\.1:1/.*--data-dir.*--dataset digits"
    with pytest.raises(DatasetError, match=sentence):
        load_mnist()
    assert not list(cache.parent.iterdir())


def test_a_download_of_another_hash_leaves_nothing_behind(cache: Path, server: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"does not match the known hash.*--data-dir.*digits"):
        load_mnist()
    assert server == ["/mnist.npz"]
    assert not list(cache.parent.iterdir())


def test_a_download_that_is_not_found_says_so(
    cache: Path, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_cache, "MNIST_URL", f"{keras_cache.MNIST_URL}.gone")
    with pytest.raises(DatasetError, match=r"404 .*--data-dir.*--dataset digits"):
        load_mnist()
    assert server == ["/mnist.npz.gone"]
    assert not list(cache.parent.iterdir())


def test_a_download_is_kept_in_the_cache_and_not_repeated(
    cache: Path, server: list[str], archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(archive, monkeypatch)
    for _ in range(2):
        assert load_mnist().training.images[1].tolist() == np.arange(16, 32).reshape(4, 4).tolist()
    assert server == ["/mnist.npz"]
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    assert cache.read_bytes() == archive


def test_a_file_that_keras_downloaded_needs_no_network(
    cache: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(archive, monkeypatch)
    cache.parent.mkdir()
    cache.write_bytes(archive)
    assert load_mnist().training.labels.tolist() == [0, 1]


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    cache: Path, server: list[str], archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(archive, monkeypatch)
    cache.parent.mkdir()
    cache.write_bytes(archive[:-1])
    assert load_mnist().training.labels.tolist() == [0, 1]
    assert cache.read_bytes() == archive


def test_a_file_in_the_cache_outlives_a_failed_download(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"somebody else's")
    with pytest.raises(DatasetError, match=r"could not be downloaded"):
        load_mnist()
    assert cache.read_bytes() == b"somebody else's"


def test_a_cache_that_cannot_be_written_is_a_sentence(cache: Path) -> None:
    cache.parent.write_text("a file where the directory should be")
    with pytest.raises(DatasetError, match=r"could not be downloaded .*--data-dir"):
        load_mnist()


def test_the_cache_is_below_the_home_directory_by_default(
    cache: Path, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    accept(archive, monkeypatch)
    path = tmp_path / ".keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive)
    assert keras_cache.mnist_file() == path


def test_the_pinned_address_and_hash_are_keras_own() -> None:
    keras = importlib.util.find_spec("keras")
    assert keras is not None
    assert keras.origin is not None
    loader = (Path(keras.origin).parent / "src" / "datasets" / "mnist.py").read_text()
    folder, name = keras_cache.MNIST_URL.rsplit("/", 1)
    for pinned in (f"{folder}/", name, keras_cache.MNIST_SHA256):
        assert pinned in loader
