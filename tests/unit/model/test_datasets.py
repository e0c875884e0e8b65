"""A run's choice from a data set, scikit-learn's digits, and a user's own .npz files."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.datasets import Split, digits, load
from tapeworks.model.datasets.digits import read_digits
from tapeworks.model.datasets.fitting import enlarge
from tapeworks.model.errors import DatasetError

#: Six images of 5 by 5 pixels: every pixel is 10 × its image's position + its row.
IMAGES = (
    (np.arange(6)[:, None, None] * 10 + np.arange(5)[None, :, None]).astype(np.uint8).repeat(5, 2)
)
LABELS = np.array([6, 3, 1, 3, 6, 3])
OWN: dict[str, NDArray[Any]] = {"images": IMAGES, "labels": LABELS}


def small_run(path: object, **values: Any) -> Split:
    """The split of a run on 3s and 6s whose network sees 4 by 4 pixels; 3 images by default."""
    settings = {"dataset": str(path), "image_side": 4, "kernel_sizes": (2,), "images": 3}
    return load(run_config(settings | values))


def positions(images: NDArray[np.uint8]) -> list[int]:
    return [int(image[0, 0]) // 10 for image in images]


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    return path


def test_training_takes_the_first_images_of_the_classes_in_the_files_order(own_file: Path) -> None:
    split = small_run(own_file)
    assert positions(split.training.images) == [0, 1, 3]
    assert split.training.labels.tolist() == [1, 0, 0]
    assert split.rows.tolist() == [0, 1, 3]
    assert len(split.test.images) == len(split.test.labels) == 0


def test_a_label_is_the_index_into_the_runs_classes_as_they_are_ordered(own_file: Path) -> None:
    split = small_run(own_file, classes=(6, 1, 3), images=6)
    assert split.training.labels.tolist() == [0, 2, 1, 2, 0, 2]


def test_held_out_images_follow_the_training_images_when_there_is_one_part(own_file: Path) -> None:
    split = small_run(own_file, test_images=2)
    assert positions(split.training.images) == split.rows.tolist() == [0, 1, 3]
    assert positions(split.test.images) == [4, 5]
    assert split.test.labels.tolist() == [1, 0]


def test_images_are_cropped_to_their_top_left_corner(own_file: Path) -> None:
    images = small_run(own_file).training.images
    assert images.shape == (3, 4, 4)
    assert images[1].tolist() == [[10] * 4, [11] * 4, [12] * 4, [13] * 4]
    assert images.flags.c_contiguous


def test_images_wider_than_tall_are_not_transposed(tmp_path: Path) -> None:
    wide = np.arange(2 * 4 * 9, dtype=np.uint8).reshape(2, 4, 9)
    np.savez(tmp_path / "wide.npz", images=wide, labels=np.array([3, 6]))
    images = small_run(tmp_path / "wide.npz", images=2).training.images
    assert images[0].tolist() == [[0, 1, 2, 3], [9, 10, 11, 12], [18, 19, 20, 21], [27, 28, 29, 30]]


def test_images_and_labels_have_the_promised_types(own_file: Path) -> None:
    split = small_run(own_file, test_images=1)
    for part in (split.training, split.test):
        assert part.images.dtype == part.labels.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_images_from_0_to_1_become_the_nearest_grey_level(tmp_path: Path, dtype: str) -> None:
    levels = np.arange(256).reshape(4, 8, 8)
    np.savez(tmp_path / "own.npz", images=(levels / 255).astype(dtype), labels=LABELS[:4])
    split = small_run(tmp_path / "own.npz", classes=(1, 3, 6), images=4, image_side=8)
    assert split.training.images.tolist() == levels.tolist()


def test_a_small_file_that_would_become_very_large(tmp_path: Path) -> None:
    labels = np.zeros(100_000_000, np.uint8)
    np.savez_compressed(tmp_path / "own.npz", images=IMAGES, labels=labels)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"becomes too large. Expected at most 67,108,864 bytes"):
        small_run(tmp_path / "own.npz")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_archive_that_says_less_than_it_holds_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "own.npz"
    np.savez_compressed(file, images=IMAGES, labels=np.zeros(100_000_000, np.uint8))
    size = struct.pack("<I", 100_000_128)
    assert size in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(size, struct.pack("<I", 1000)))
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"own.npz cannot be read: "):
        small_run(file)
    assert tracemalloc.get_traced_memory()[1] < 150_000_000  # what its array's header claims
    tracemalloc.stop()


def test_a_suffix_in_capitals_is_an_npz_file_too(own_file: Path) -> None:
    assert len(small_run(own_file.rename(own_file.with_suffix(".NPZ"))).training.images) == 3


def test_digits_are_the_same_bytes_on_every_machine() -> None:
    training = load(run_config({"dataset": "digits"})).training
    assert training.images.shape == (50, 27, 27)
    digest = hashlib.sha256(training.images.tobytes()).hexdigest()
    assert digest == "a2ca3b4586893208e23969117369052564decaaa0d2b25b4d8ad1ca9bb464397"
    assert training.labels[:10].tolist() == [0, 1, 0, 1, 0, 1, 1, 0, 1, 0]


def test_digits_use_the_whole_range_of_grey_levels() -> None:
    images = read_digits().training.images
    assert images.shape == (1797, 8, 8)
    assert sorted(set(images.ravel().tolist())) == [round(k * 255 / 16) for k in range(17)]


def test_an_enlarged_image_stays_upright() -> None:
    corner = np.zeros((1, 8, 8), np.uint8)
    corner[0, :4, :2] = 255  # the upper half of the left quarter
    enlarged = enlarge(corner, 27)[0]
    assert enlarged[5, 2] == 255
    assert enlarged[2, 11] == enlarged[20, 2] == enlarged[20, 20] == 0
    assert enlarged[11, 2] == 255


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"dataset": "mnst"},
            r"no data set named 'mnst'. Expected digits, mnist, cifar10, .* mean mnist\?",
        ),
        ({"dataset": "DIGITS"}, r"no data set named 'DIGITS'.* Did you mean digits\?"),
        ({"dataset": "own.npy"}, "no data set named 'own.npy'.* the path of an .npz file.$"),
        ({"classes": (3, 11)}, "digits has no class 11. Its classes are 0,1,2,3,4,5,6,7,8,9."),
        ({"classes": (3, 2**31 - 1)}, f"digits has no class {2**31 - 1}."),
        ({"images": 365}, "digits has 364 images of the classes 3,6. Expected at least 365."),
        ({"images": 300, "test_images": 65}, "364 images .*images=300, test_images=65."),
    ],
)
def test_what_a_data_set_cannot_serve_is_said(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        load(run_config(values))


def test_all_digits_of_two_classes_can_be_used() -> None:
    split = load(run_config({"images": 300, "test_images": 64}))
    assert (len(split.training.images), len(split.test.images)) == (300, 64)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"images": IMAGES},
            "no array 'labels' in .* Expected images, labels. .*: images.",
        ),
        ({"x": IMAGES, "y": LABELS}, "no array 'images' in .* Received: x, y."),
        ({}, "no array 'images' in .* Received: no arrays."),
        (OWN | {"images": IMAGES[0]}, r"\(n, rows, columns\).* with images of shape \(5, 5\)"),
        (OWN | {"images": IMAGES[..., None]}, r"of shape \(6, 5, 5, 1\) and .* --network FILE.py"),
        (OWN | {"labels": LABELS[:, None]}, r"labels of 1 dimension.* Received: shape=\(6, 1\)."),
        (OWN | {"labels": np.array(3)}, r"labels of 1 dimension.* Received: shape=\(\)."),
        (OWN | {"labels": LABELS[:5]}, "one label per image .* Received: 6 images and 5 labels."),
        (OWN | {"images": IMAGES[:0], "labels": LABELS[:0]}, "There are no images in .*own.npz."),
        (OWN | {"labels": LABELS - 4}, "whole numbers from 0. Received: int64 from -3 to 2."),
        (OWN | {"labels": LABELS / 2}, "built-in .* and float64 labels .* --network FILE.py"),
        (OWN | {"labels": LABELS == 3}, "whole numbers from 0. Received: bool."),
        (
            OWN | {"labels": LABELS.astype(str)},
            r"whole numbers from 0\. Received: texts, such as '\d'; number them with .*np\.unique",
        ),
        (
            OWN | {"labels": np.uint64(2**64 - 7) + LABELS.astype(np.uint64)},
            "Received: uint64 from",
        ),
        (OWN | {"images": IMAGES.astype(int)}, "uint8, or .* Received: int64 from 0 to 54."),
        (OWN | {"images": IMAGES / 50}, "uint8, or .* Received: float64 from 0.0 to 1.08."),
        (OWN | {"images": IMAGES / 54 - 0.5}, "Received: float64 from -0.5 to 0.5."),
        (OWN | {"images": np.full((6, 5, 5), np.nan)}, "Received: float64 from nan"),
        (OWN | {"images": IMAGES.astype(object)}, "npz cannot be read: Object arrays"),
        (OWN | {"images": IMAGES[:, :3]}, "3 by 5 pixels, are too .* 4 by 4. .*_side=4."),
        (OWN | {"images": IMAGES[:, :, :3]}, "5 by 3 pixels, are too .* 4 by 4. .*_side=4."),
        (OWN | {"labels": np.array([3] * 6)}, "no class 6. Its classes are 3. R"),
        (OWN | {"labels": np.array([6, 3, 1, 1, 1, 1])}, "has 2 images of .* 3,6. .*least 3."),
    ],
)
def test_what_is_wrong_with_an_own_file_is_said(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], sentence: str
) -> None:
    np.savez(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=sentence):
        small_run(tmp_path / "own.npz")


def test_a_long_list_of_classes_is_cut(tmp_path: Path) -> None:
    labels = np.arange(100, 130)
    np.savez(tmp_path / "own.npz", images=IMAGES[:1].repeat(30, 0), labels=labels)
    with pytest.raises(DatasetError, match=r"Its classes are 100,.*,118,119 and more. Received"):
        small_run(tmp_path / "own.npz")


def test_importing_the_data_sets_loads_nothing_heavy() -> None:
    code = "import sys, tapeworks.model.datasets; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    loaded = set(finished.stdout.decode().split())
    assert "tapeworks.model.datasets.loading" in loaded
    assert not loaded & {"tensorflow", "sklearn", "PIL", "pooch"}


@pytest.mark.parametrize("content", [b"", b"no zip", IMAGES.tobytes(), b"\x80\x04N."])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"own\.npz is not an \.npz file"):
        small_run(tmp_path / "own.npz")


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for name in ("missing.npz", "folder.npz"):
        with pytest.raises(
            DatasetError, match=f"There is no file {re.escape(str(tmp_path / name))}"
        ):
            small_run(tmp_path / name)


def test_a_path_that_the_system_refuses_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be read: .*File name too long"):
        small_run(tmp_path / ("n" * 300 + ".npz"))


def test_a_damaged_array_is_refused(own_file: Path) -> None:
    content = bytearray(own_file.read_bytes())
    content[content.index(IMAGES.tobytes())] ^= 1
    own_file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"own\.npz cannot be read: Bad CRC-32"):
        small_run(own_file)


@pytest.mark.parametrize("header", ["{'descr': '|u1', 'shape': (6, 5", "{'descr': 7}", "O" * 30])
def test_a_damaged_array_header_is_refused(tmp_path: Path, header: str) -> None:
    text = header.encode() + b"\n"
    array = b"\x93NUMPY\x03\x00" + len(text).to_bytes(4, "little") + text
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("images.npy", array)
        archive.writestr("labels.npy", array)
    with pytest.raises(DatasetError, match=r"own\.npz cannot be read: "):
        small_run(tmp_path / "own.npz")


def test_square_images_below_the_networks_side_are_enlarged_as_digits_are(tmp_path: Path) -> None:
    path = tmp_path / "eight.npz"
    eight = read_digits().training
    np.savez(path, images=eight.images, labels=eight.labels)
    for config in (
        RunConfig(dataset=str(path)),
        RunConfig(dataset=str(path), image_side=8, kernel_sizes=(3,)),
    ):
        own, ours = load(config), load(config.model_copy(update={"dataset": "digits"}))
        np.testing.assert_array_equal(own.training.images, ours.training.images)


def test_digits_are_those_of_scikit_learn_also_where_its_file_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = load_digits()
    for file in (digits.DIGITS_FILE, Path("nowhere")):
        monkeypatch.setattr(digits, "DIGITS_FILE", file)
        found = read_digits().training
        np.testing.assert_array_equal(np.rint(found.images / 255 * 16), expected.images)
        np.testing.assert_array_equal(found.labels, expected.target)
