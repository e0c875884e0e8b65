"""MNIST from directories: IDX files as published, mnist.npz, and what can be wrong with either."""

from __future__ import annotations

import gzip
import re
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model.config import run_config
from tapeworks.model.datasets import Split, load
from tapeworks.model.errors import DatasetError

TRAINING_LABELS = bytes([3, 6, 5, 6, 3])
TEST_LABELS = bytes([6, 5, 3])


def idx(dimensions: tuple[int, ...], content: bytes, element_type: int = 0x08) -> bytes:
    magic = struct.pack(">BBBB", 0, 0, element_type, len(dimensions))
    return magic + struct.pack(f">{len(dimensions)}I", *dimensions) + content


def pixels(labels: bytes) -> bytes:
    """One image of 3 by 2 pixels per label: ten times its label, counting on from there."""
    return b"".join(bytes(10 * label + pixel for pixel in range(6)) for label in labels)


def write_part(
    directory: Path,
    name: str,
    labels: bytes,
    *,
    mark: str = "-",
    suffix: str = "",
    pack: Callable[[bytes], bytes] = bytes,
) -> None:
    images = idx((len(labels), 3, 2), pixels(labels))
    (directory / f"{name}-images{mark}idx3-ubyte{suffix}").write_bytes(pack(images))
    labels_file = directory / f"{name}-labels{mark}idx1-ubyte{suffix}"
    labels_file.write_bytes(pack(idx((len(labels),), labels)))


def small_run(directory: Path | None, **values: Any) -> Split:
    """The split of a run on 3s and 6s whose network sees 2 by 2 pixels; 2 images by default."""
    data_dir = None if directory is None else str(directory)
    settings = {"dataset": "mnist", "data_dir": data_dir, "image_side": 2, "kernel_sizes": (2,)}
    return load(run_config(settings | {"images": 2} | values))


@pytest.fixture
def both_parts(tmp_path: Path) -> Path:
    write_part(tmp_path, "train", TRAINING_LABELS)
    write_part(tmp_path, "t10k", TEST_LABELS)
    return tmp_path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_idx_files_are_read_by_any_of_their_names(
    tmp_path: Path, mark: str, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    write_part(tmp_path, "train", TRAINING_LABELS, mark=mark, suffix=suffix, pack=pack)
    split = small_run(tmp_path, images=3)
    assert split.training.labels.tolist() == [0, 1, 1]
    assert split.training.images.tolist() == [
        [[30, 31], [32, 33]],
        [[60, 61], [62, 63]],
        [[60, 61], [62, 63]],
    ]


def test_held_out_images_come_from_the_test_part_when_it_is_there(both_parts: Path) -> None:
    split = small_run(both_parts, images=4, test_images=2)
    assert split.training.labels.tolist() == [0, 1, 1, 0]
    assert split.test.labels.tolist() == [1, 0]
    assert split.test.images[:, 0, 0].tolist() == [60, 30]


@pytest.mark.parametrize("name", ["train", "t10k"])
def test_a_single_part_serves_both_training_and_held_out_images(tmp_path: Path, name: str) -> None:
    write_part(tmp_path, name, TRAINING_LABELS)
    split = small_run(tmp_path, images=3, test_images=1)
    assert split.training.labels.tolist() == [0, 1, 1]
    assert split.test.labels.tolist() == [0]


def test_a_directory_may_hold_mnist_npz(tmp_path: Path) -> None:
    training, test = (
        np.frombuffer(pixels(labels), np.uint8).reshape(-1, 3, 2)
        for labels in (TRAINING_LABELS, TEST_LABELS)
    )
    np.savez(
        tmp_path / "mnist.npz",
        x_train=training,
        y_train=np.frombuffer(TRAINING_LABELS, np.uint8),
        x_test=test,
        y_test=np.frombuffer(TEST_LABELS, np.uint8),
    )
    split = small_run(tmp_path, images=4, test_images=2)
    assert split.training.images[:, 1, 1].tolist() == [33, 63, 63, 33]
    assert split.test.labels.tolist() == [1, 0]


def test_the_directory_may_come_from_the_environment(
    both_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATA_DIR", str(both_parts))
    assert small_run(None).training.labels.tolist() == [0, 1]


def test_the_configured_directory_is_used_before_the_environments(
    both_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATA_DIR", "/nowhere")
    assert small_run(both_parts).training.labels.tolist() == [0, 1]


def test_a_missing_directory_is_named_with_the_way_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "missing", tmp_path / "file"):
        sentence = f"There is no directory {re.escape(str(directory))} .*--data-dir.*digits"
        with pytest.raises(DatasetError, match=sentence):
            small_run(directory)


def test_a_directory_without_mnist_lists_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no MNIST files in .* Expected train-images-idx3.*npz"):
        small_run(tmp_path)


@pytest.mark.parametrize("kind", ["images-idx3-ubyte", "labels-idx1-ubyte"])
@pytest.mark.parametrize("name", ["train", "t10k"])
def test_half_a_part_names_the_missing_file(both_parts: Path, name: str, kind: str) -> None:
    (both_parts / f"{name}-{kind}").unlink()
    with pytest.raises(DatasetError, match=f"but no {name}-{kind} beside it"):
        small_run(both_parts)


def test_an_npz_of_somebody_else_lists_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", images=[1], labels=[2])
    with pytest.raises(DatasetError, match=r"no array 'x_train' in .* Received: images, labels\."):
        small_run(tmp_path)


WHOLE_IMAGES = idx((5, 3, 2), pixels(TRAINING_LABELS))

#: Without the time, which would name the tests differently in each process.
PACKED_IMAGES = gzip.compress(WHOLE_IMAGES, mtime=0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"is not an IDX file. .* Received: 0x\."),
        (b"\0\0\x08", r"is not an IDX file. .* Received: 0x000008\."),
        (b"\1" + WHOLE_IMAGES[1:], r"is not an IDX file. .* Received: 0x01000803\."),
        (idx((5, 3, 2), b"", 0x0D), r"unsigned bytes \(type 0x08\) in .* Received: type 0x0d\."),
        (idx((5,), TRAINING_LABELS), r"Expected 3 dimension\(s\) .* Received: 1 dimension\(s\)\."),
        (WHOLE_IMAGES[:15], r"is truncated: it ends inside its header\."),
        (WHOLE_IMAGES[:-1], r"is truncated. Expected 46 bytes. Received: 45\."),
        (WHOLE_IMAGES[:16], r"is truncated. Expected 46 bytes. Received: 16\."),
        (WHOLE_IMAGES + b"\0", r"is too long. Expected 46 bytes. Received: 47\."),
        (idx((2**32 - 1,) * 3, b"\0"), r"is truncated. Expected 79228162458924105385300197391 b"),
        (idx((0, 2**32 - 1, 2**32 - 1), b""), r"is empty. Received: shape=\(0, "),
        (idx((4, 3, 2), pixels(TRAINING_LABELS[:4])), r"Received: 4 images and 5 labels\."),
        (idx((30, 1, 1), bytes(30)), r"Received: 30 images and 5 labels\."),
        (idx((5, 1, 2), bytes(10)), r"1 by 2 pixels, are too small. Expected at least 2 by 2, "),
        (PACKED_IMAGES[:-1], r"is a damaged gzip file: "),
        (PACKED_IMAGES[:5], r"is a damaged gzip file: "),
        (PACKED_IMAGES + b"more", r"is a damaged gzip file: "),
        (PACKED_IMAGES[:-8] + bytes(8), r"is a damaged gzip file: CRC check failed"),
        (PACKED_IMAGES[:10] + b"\xff" * 9, r"is a damaged gzip file: Error -3"),
        (
            gzip.compress(WHOLE_IMAGES + b"\0", mtime=0),
            r"is too long. Expected 46 bytes. Received: 47\.",
        ),
    ],
)
def test_a_damaged_images_file_is_named(both_parts: Path, content: bytes, sentence: str) -> None:
    (both_parts / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DatasetError, match=sentence):
        small_run(both_parts)


def test_a_small_file_that_would_become_very_large(both_parts: Path) -> None:
    bomb = gzip.compress(idx((100_000, 28, 28), bytes(28 * 28 * 100_000)))
    (both_parts / "train-images-idx3-ubyte").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"becomes too large. Expected at most [\d,]+ bytes"):
        small_run(both_parts)
    assert tracemalloc.get_traced_memory()[1] < 300_000_000  # what it allows, twice as it grows
    tracemalloc.stop()


def test_a_damaged_test_part_is_refused_too(both_parts: Path) -> None:
    labels = both_parts / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte is truncated"):
        small_run(both_parts)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"images": 5}, r"mnist has 4 images of the classes 3,6. Expected at least 5\."),
        ({"test_images": 3}, r"mnist has 2 held-out images of the classes 3,6. .*test_images=3\."),
        ({"classes": (3, 7)}, r"mnist has no class 7. Its classes are 3,5,6\."),
        ({"image_side": 3}, r"3 by 2 pixels, are too small. Expected at least 3 by 3, "),
    ],
)
def test_too_little_is_said(both_parts: Path, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        small_run(both_parts, **values)


def test_a_file_that_the_system_refuses_to_read_is_a_sentence(
    both_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"mnist cannot be read: .*Permission denied: '.*train-"):
        small_run(both_parts)


@pytest.fixture
def published_test_part(mnist_dir: Path, tmp_path: Path) -> Path:
    """MNIST's 10,000 published test images alone, gzipped, whatever else there is beside them."""
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        if not (mnist_dir / name).is_file():
            pytest.skip(f"There is no {name} in {mnist_dir}.")
        shutil.copy(mnist_dir / name, tmp_path / name)
    return tmp_path


def test_published_images_are_taken_in_their_own_order(published_test_part: Path) -> None:
    values = {"dataset": "mnist", "data_dir": str(published_test_part), "images": 10}
    split = load(run_config(values | {"test_images": 1958}))

    with gzip.open(published_test_part / "t10k-labels-idx1-ubyte.gz") as file:
        labels = file.read()[8:]
    with gzip.open(published_test_part / "t10k-images-idx3-ubyte.gz") as file:
        content = file.read()[16:]
    wanted = [position for position, label in enumerate(labels) if label in (3, 6)]
    assert wanted[:10] == [11, 18, 21, 22, 30, 32, 44, 50, 51, 54]
    assert len(wanted) == 1968

    for part, chosen in ((split.training, wanted[:10]), (split.test, wanted[10:])):
        assert part.labels.tolist() == [(3, 6).index(labels[position]) for position in chosen]
        assert part.images.shape == (len(chosen), 27, 27)
        for image, position in zip(part.images, chosen, strict=True):
            rows = [
                content[start : start + 27]
                for start in range(784 * position, 784 * position + 756, 28)
            ]
            assert image.tobytes() == b"".join(rows)


def test_all_published_threes_and_sixes_are_found(published_test_part: Path) -> None:
    values = {"dataset": "mnist", "data_dir": str(published_test_part), "images": 1968}
    labels = load(run_config(values)).training.labels.tolist()
    assert (labels.count(0), labels.count(1)) == (1010, 958)
    with pytest.raises(DatasetError, match=r"mnist has 1968 images .* Expected at least 1969\."):
        load(run_config(values | {"test_images": 1}))
