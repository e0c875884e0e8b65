"""Data of any shape for users' own networks: .npz files, and images as the data sets have them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.datasets import Split, check_dataset, load
from tapeworks.model.errors import DatasetError
from tests.support.own_networks import own_config

#: Six images of 2 by 3 by 4 numbers.
IMAGES = np.arange(6 * 24, dtype=np.uint8).reshape(6, 2, 3, 4)
LABELS = np.array([6, 3, 1, 3, 6, 3])


def saved(directory: Path, images: NDArray[Any], labels: NDArray[Any]) -> Path:
    np.savez(directory / "own.npz", images=images, labels=labels)
    return directory / "own.npz"


def own_split(path: object, **values: Any) -> Split:
    return load(own_config(path, **{"images": 4, "test_images": 2} | values))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 1), (6, 24), (6, 4, 6), (6, 2, 3, 4), (6, 1, 2, 3, 4, 1)])
def test_images_of_any_shape_stay_as_they_are(
    tmp_path: Path, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    images = np.random.default_rng(1).uniform(0, 255, shape).astype(dtype)

    split = own_split(saved(tmp_path, images, LABELS))

    assert split.training.images.dtype == split.test.images.dtype == dtype
    assert split.training.images.tolist() == images[:4].tolist()
    assert split.test.images.tolist() == images[4:].tolist()


def test_all_labels_are_the_classes_in_their_order(tmp_path: Path) -> None:
    split = own_split(saved(tmp_path, IMAGES, LABELS), images=2, test_images=1)

    assert split.classes == (1, 3, 6)
    assert split.training.labels.dtype == np.uint8
    assert (split.training.labels.tolist(), split.test.labels.tolist()) == ([2, 1], [0])


def test_chosen_classes_are_kept_in_the_order_they_are_given(tmp_path: Path) -> None:
    split = own_split(saved(tmp_path, IMAGES, LABELS), classes=(6, 3), test_images=1)

    assert split.classes == (6, 3)
    assert split.training.labels.tolist() == [0, 1, 1, 0]
    assert split.training.images[:, 0, 0, 0].tolist() == [0, 24, 72, 96]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)])
def test_float_labels_are_targets(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    targets = (np.arange(np.prod(shape)) / 3 - 1).reshape(shape).astype(dtype)

    split = own_split(saved(tmp_path, IMAGES, targets))

    assert split.classes == ()
    for part, expected in ((split.training, targets[:4]), (split.test, targets[4:])):
        assert part.labels.dtype == np.float32
        assert part.labels.tobytes() == expected.astype("<f4").tobytes()


def test_other_floats_are_rounded_to_float32_once(tmp_path: Path) -> None:
    images = np.array([[1 / 3, -1e-50], [1 + 2**-24, 1e38]] * 3)

    found = own_split(saved(tmp_path, images, LABELS)).training.images

    assert found.dtype == np.float32
    assert found[:2].tolist() == [[11184811 / 2**25, 0.0], [1.0, float(np.float32(1e38))]]


def test_a_file_of_256_classes_can_be_used_and_one_of_257_cannot(tmp_path: Path) -> None:
    labels = np.arange(257) * 1000
    most = own_split(saved(tmp_path, np.zeros((256, 1), np.uint8), labels[:256]), images=254)
    assert len(most.classes) == 256
    assert most.test.labels.tolist() == [254, 255]

    path = saved(tmp_path, np.zeros((257, 1), np.uint8), labels)
    with pytest.raises(DatasetError, match=r"has 257 classes. Expected at most 256\. .*--classes"):
        own_split(path)
    assert own_split(path, classes=(5000, 0), images=2, test_images=0).classes == (5000, 0)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (IMAGES.astype(int), LABELS, r'uint8 or float32; .*astype\("float32"\). .*: int64 from 0'),
        (IMAGES > 3, LABELS, r"uint8 or float32; .* Received: bool\.$"),
        (IMAGES.astype(complex), LABELS, r"uint8 or float32; .* Received: complex128\.$"),
        (IMAGES.astype(str), LABELS, r"uint8 or float32; .* Received: <U3\.$"),
        (IMAGES.astype(object), LABELS, r"own.npz cannot be read: Object arrays"),
        (np.full((6, 2), np.nan, np.float32), LABELS, r"images .* finite .*: float32 from nan"),
        (
            np.full((6, 2), np.inf),
            LABELS,
            r"images in .* finite float32.*: float64 from inf to inf",
        ),
        (np.full((6, 2), 1e39), LABELS, r"images in .* finite float32.* float64 from 1e\+39"),
        (np.zeros(6, np.uint8), LABELS, r"images \(n, …\) in .* Received: shape=\(6,\)\.$"),
        (np.zeros((6, 3, 0), np.uint8), LABELS, r"one number or more .*shape=\(6, 3, 0\)\.$"),
        (np.zeros((6, *[1] * 9), np.uint8), LABELS, r"at most 8 dimensions. .*shape=\(6, 1, 1"),
        (np.array(3), LABELS, r"images \(n, …\) in .* Received: shape=\(\)\.$"),
        (IMAGES[:0], LABELS[:0], r"There are no images in .*own.npz\.$"),
        (IMAGES, LABELS[:5], r"one label per image .*: 6 images and 5 labels\.$"),
        (IMAGES, np.zeros((5, 2)), r"one label per image .*: 6 images and 5 labels\.$"),
        (IMAGES, LABELS[:, None], r"labels of 1 dimension.* Received: shape=\(6, 1\)\.$"),
        (IMAGES, LABELS - 4, r"whole numbers from 0\. Received: int64 from -3 to 2\.$"),
        (IMAGES, LABELS > 2, r"whole numbers from 0\. Received: bool\.$"),
        (IMAGES, np.zeros((6, 2, 2)), r"targets \(n,\) or \(n, k\) .*: shape=\(6, 2, 2\)\.$"),
        (IMAGES, np.zeros((6, 0)), r"targets \(n,\) or \(n, k\) .*: shape=\(6, 0\)\.$"),
        (IMAGES, np.array(0.5), r"targets \(n,\) or \(n, k\) .*: shape=\(\)\.$"),
        (IMAGES, np.full(6, np.nan), r"targets in .* finite float32.* Received: float64 from nan"),
    ],
)
def test_what_is_no_image_and_no_label_is_said(
    tmp_path: Path, images: NDArray[Any], labels: NDArray[Any], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        own_split(saved(tmp_path, images, labels))


def test_labels_of_one_class_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, IMAGES, np.full(6, 4))
    with pytest.raises(DatasetError, match=r"has the class 4 alone\. Expected two .*float targets"):
        own_split(path)


def test_classes_of_float_targets_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, IMAGES, LABELS / 2)
    with pytest.raises(DatasetError, match=r"has float targets, .* Received: classes=3,6\.$"):
        own_split(path, classes=(3, 6))


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, IMAGES, LABELS)
    with pytest.raises(DatasetError, match=r"no class 2. Its classes are 1,3,6\."):
        own_split(path, classes=(2, 3))


def test_too_few_images_with_targets_are_said_without_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, IMAGES, LABELS / 2)
    with pytest.raises(DatasetError, match=r"own\.npz has 6 images\. Expected at least 7\."):
        own_split(path, images=5)


@pytest.mark.parametrize(
    ("images", "labels", "received"),
    [
        (IMAGES, LABELS, r"shape \(6, 2, 3, 4\) and int64 labels"),
        (IMAGES[:, 0, 0], LABELS, r"shape \(6, 4\) and int64 labels"),
        (IMAGES[:, 0], LABELS / 2, r"float64 labels of shape \(6,\)"),
    ],
)
def test_the_built_in_network_says_what_it_takes(
    tmp_path: Path, images: NDArray[Any], labels: NDArray[Any], received: str
) -> None:
    sentence = rf"images \(n, rows, columns\) in grey.* Received: .*{received}.* --network FILE.py"
    with pytest.raises(DatasetError, match=sentence):
        load(run_config({"dataset": str(saved(tmp_path, images, labels)), "images": 2}))


@pytest.mark.parametrize("name", ["cifar10", "breast_cancer", "wine", "diabetes"])
def test_the_built_in_network_takes_no_other_named_data_set(name: str) -> None:
    sentence = rf"takes images \(n, rows, columns\) .*Received: dataset={name}\. .*--network FILE"
    for refuse in (check_dataset, load):
        with pytest.raises(DatasetError, match=sentence):
            refuse(RunConfig(dataset=name))
    check_dataset(own_config(name))


@pytest.mark.parametrize(
    ("name", "near"),
    [("cifar-10", "cifar10"), ("breast-cancer", "breast_cancer"), ("diabets", "diabetes")],
)
def test_a_misspelt_name_is_corrected(name: str, near: str) -> None:
    with pytest.raises(DatasetError, match=rf"no data set named '{name}'.* Did you mean {near}\?"):
        check_dataset(own_config(name))


def test_digits_are_not_enlarged() -> None:
    split = own_split("digits", images=1000, test_images=797)

    assert split.classes == tuple(range(10))
    stored = load_digits()
    expected = [
        [[round(int(v) * 255 / 16) for v in row] for row in image] for image in stored.images
    ]
    assert split.training.images.dtype == np.uint8
    assert [*split.training.images.tolist(), *split.test.images.tolist()] == expected
    assert split.training.labels.tolist() == stored.target[:1000].tolist()


def test_mnist_is_not_cropped(mnist_dir: Path) -> None:
    split = own_split("mnist", data_dir=str(mnist_dir), images=9, test_images=0)

    with gzip.open(mnist_dir / "t10k-images-idx3-ubyte.gz") as file:
        assert split.training.images.tobytes() == file.read()[16 : 16 + 9 * 784]
    assert split.training.images.shape == (9, 28, 28)
