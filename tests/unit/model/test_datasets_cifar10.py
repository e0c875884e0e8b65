"""CIFAR-10 from files of its binary version, and what can be wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapeworks.model.datasets import Split, load
from tapeworks.model.errors import DatasetError
from tests.support.own_networks import own_config

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def level(label: int, channel: int, row: int, column: int) -> int:
    return (label * 50 + channel * 101 + row * 7 + column * 3) % 256


def picture(label: int) -> bytes:
    """A row of the published form: the label, then the red levels row by row, green, and blue."""
    return bytes([label]) + bytes(
        level(label, channel, row, column)
        for channel in range(3)
        for row in range(32)
        for column in range(32)
    )


def write(directory: Path, name: str, labels: list[int]) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(b"".join(map(picture, labels)))


def cifar(directory: Path | None, **values: Any) -> Split:
    data_dir = None if directory is None else str(directory)
    return load(own_config("cifar10", data_dir=data_dir, **{"images": 2} | values))


def labels_of(split: Split) -> list[int]:
    return [split.classes[index] for index in split.training.labels]


def test_pixels_have_their_rows_columns_and_channels(tmp_path: Path) -> None:
    write(tmp_path, "data_batch_1.bin", [9, 2])

    images = cifar(tmp_path).training.images

    assert images.shape == (2, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    for image, label in zip(images, (9, 2), strict=True):
        for row, column, channel in np.ndindex(32, 32, 3):
            assert image[row, column, channel] == level(label, channel, row, column)


def test_batches_are_read_in_their_order_and_test_images_are_held_out(tmp_path: Path) -> None:
    for number in (5, 3, 1, 2, 4):
        write(tmp_path, f"data_batch_{number}.bin", [number, 0])
    write(tmp_path, "test_batch.bin", [4, 5, 3])

    split = cifar(tmp_path, images=10, test_images=3)

    assert split.classes == (0, 1, 2, 3, 4, 5)
    assert labels_of(split) == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert split.test.labels.tolist() == [4, 5, 3]


def test_some_batches_are_enough(tmp_path: Path) -> None:
    write(tmp_path, "data_batch_4.bin", [1, 2])
    write(tmp_path, "data_batch_2.bin", [3])
    split = cifar(tmp_path, images=2, test_images=1)
    assert labels_of(split) == [3, 1]
    assert split.test.labels.tolist() == [1], "those that follow are held out"


def test_the_test_batch_alone_serves_as_both(tmp_path: Path) -> None:
    write(tmp_path, "test_batch.bin", [7, 8, 7])
    split = cifar(tmp_path, test_images=1)
    assert (labels_of(split), split.test.labels.tolist()) == ([7, 8], [0])


def test_the_archives_own_directory_may_be_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "cifar-10-batches-bin", "data_batch_1.bin", [7, 8])
    monkeypatch.setenv("TAPEWORKS_DATA_DIR", str(tmp_path))
    assert labels_of(cifar(None)) == [7, 8]


def test_classes_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, "data_batch_1.bin", [3, 9, 5, 3])
    split = cifar(tmp_path, classes=(5, 3))
    assert split.training.labels.tolist() == [1, 0]


@pytest.mark.parametrize("content", [b"", picture(1)[:-1], picture(1) + b"\0"])
def test_a_file_of_another_length_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    sentence = rf"data_batch_1\.bin is damaged. Expected 3,073 .* Received: {len(content):,} bytes"
    with pytest.raises(DatasetError, match=sentence):
        cifar(tmp_path)


def test_a_label_above_9_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "data_batch_1.bin", [3, 9])
    (tmp_path / "test_batch.bin").write_bytes(bytes([10]) + picture(1)[1:])
    with pytest.raises(DatasetError, match=r"test_batch\.bin .*labels from 0 to 9. Received: 10\."):
        cifar(tmp_path)


class Trap:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_the_python_version_is_refused_and_never_unpickled(
    tmp_path: Path, folder: str, name: str
) -> None:
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(
        DatasetError, match=rf"Python version: pickles, .*unpack {URL} .*--data-dir"
    ):
        cifar(tmp_path)
    assert not (tmp_path / "trace").exists()
    pickle.loads((place / name).read_bytes())  # noqa: S301
    assert (tmp_path / "trace").exists(), "the trap would have shown it"


def test_the_binary_version_beside_the_python_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"a pickle")
    write(tmp_path, "data_batch_1.bin", [1, 2])
    assert labels_of(cifar(tmp_path)) == [1, 2]


def test_missing_files_are_named_with_the_way_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAPEWORKS_DATA_DIR", raising=False)
    way = rf"data_batch_1\.bin to data_batch_5\.bin and test_batch\.bin.*{URL}.*TAPEWORKS_DATA_DIR"
    for directory, words in (
        (None, "not downloaded"),
        (tmp_path, "no files of CIFAR-10 in"),
        (tmp_path / "no", "no files of CIFAR-10 in .*/no"),
    ):
        with pytest.raises(DatasetError, match=f"{words}.*{way}"):
            cifar(directory)


def test_a_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    write(tmp_path, "data_batch_1.bin", [1])
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"cifar10 cannot be read: .*Permission denied"):
        cifar(tmp_path)
