"""Pictures and images from elsewhere: as grey levels, and at the side of a run's network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import readers as png
from tapeworks.model.datasets.fitting import enlarge
from tapeworks.model.datasets.own_files import fit_images, read_images
from tapeworks.model.datasets.readers import read_png
from tapeworks.model.errors import DatasetError
from tests.support.own_networks import checked_config

#: 3 rows of 4 columns; its levels survive all the forms below.
LEVELS = np.arange(0, 240, 20).astype(np.uint8).reshape(3, 4)


def _transparent(levels: NDArray[np.uint8]) -> Image.Image:
    white = Image.new("RGBA", levels.shape[::-1], (255, 255, 255, 0))
    white.putalpha(Image.fromarray(levels))
    return white


FORMS: dict[str, Callable[[NDArray[np.uint8]], Image.Image]] = {
    "grey": Image.fromarray,
    "16 bits": lambda levels: Image.fromarray(levels.astype(np.uint16) * 257),
    "colours": lambda levels: Image.fromarray(levels).convert("RGB"),
    "palette": lambda levels: Image.fromarray(levels).convert("P"),
    "white ink on nothing": _transparent,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_png_of_any_form_gives_its_grey_levels(
    form: Callable[[NDArray[np.uint8]], Image.Image], tmp_path: Path
) -> None:
    form(LEVELS).save(tmp_path / "it.png")

    images = read_png(tmp_path / "it.png")

    assert images.dtype == np.uint8
    assert images.tolist() == [LEVELS.tolist()]


def test_only_whole_png_files_of_a_bearable_size_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "it.png")
    Image.fromarray(LEVELS).save(tmp_path / "gif.png", format="GIF")
    content = (tmp_path / "it.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    for name, words in {"gif": "PNG picture", "half": "PNG picture", "no": "no file"}.items():
        with pytest.raises(DatasetError, match=words):
            read_png(tmp_path / f"{name}.png")
    monkeypatch.setattr(png, "LARGEST_SIDE", 3)
    with pytest.raises(DatasetError, match=r"too large.*Received: 3 by 4"):
        read_png(tmp_path / "it.png")


def test_an_npz_file_may_lack_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", images=LEVELS[np.newaxis])
    images, labels = read_images(tmp_path / "it.npz", RunConfig())
    assert (images.tolist(), labels) == ([LEVELS.tolist()], None)

    np.savez(tmp_path / "it.npz", images=LEVELS[np.newaxis] / 255, labels=[6])
    images, labels = read_images(tmp_path / "it.npz", RunConfig())
    assert labels is not None
    assert (images.tolist(), labels.tolist()) == ([LEVELS.tolist()], [6])


def _random(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (2, rows, columns), np.uint8)


@pytest.mark.parametrize(
    ("dataset", "size", "side"),
    [("mnist", (28, 28), 27), ("mnist", (28, 28), 20), ("own.npz", (30, 40), 27)],
)
def test_images_are_cropped_where_the_runs_own_were(
    dataset: str, size: tuple[int, int], side: int
) -> None:
    images = _random(*size)

    found = fit_images(images, RunConfig(dataset=dataset, image_side=side), Path("it"))

    np.testing.assert_array_equal(found, images[:, :side, :side])


def test_square_images_are_resampled_for_a_run_on_digits() -> None:
    images = _random(8, 8)

    np.testing.assert_array_equal(fit_images(images, RunConfig(), Path("it")), enlarge(images, 27))


@pytest.mark.parametrize("dataset", ["digits", "mnist", "own.npz"])
def test_images_of_the_networks_side_stay_as_they_are(dataset: str) -> None:
    images = _random(27, 27)

    assert fit_images(images, RunConfig(dataset=dataset), Path("it")) is images


@pytest.mark.parametrize(
    ("dataset", "size"), [("digits", (8, 9)), ("mnist", (32, 32)), ("own.npz", (26, 40))]
)
def test_images_unlike_the_runs_are_refused(dataset: str, size: tuple[int, int]) -> None:
    with pytest.raises(DatasetError, match=rf"in it\.png.*Received: {size[0]} by {size[1]}"):
        fit_images(_random(*size), RunConfig(dataset=dataset), Path("it.png"))


def test_a_picture_for_a_run_on_pictures_in_colour_keeps_its_colours(tmp_path: Path) -> None:
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
    Image.fromarray(colours).save(tmp_path / "it.png")
    config = checked_config("cifar10", input_shape=(3, 4, 3))

    images, labels = read_images(tmp_path / "it.png", config)

    assert labels is None
    assert fit_images(images, config, tmp_path / "it.png").tolist() == [colours.tolist()]


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_grey_pictures_have_three_equal_channels_in_colour(
    form: Callable[[NDArray[np.uint8]], Image.Image], tmp_path: Path
) -> None:
    form(LEVELS).save(tmp_path / "it.png")
    images = read_png(tmp_path / "it.png", in_colour=True)
    assert images.dtype == np.uint8
    assert images.tolist() == [np.stack([LEVELS] * 3, axis=2).tolist()]


@pytest.mark.parametrize(
    ("images", "dtype"),
    [
        (np.zeros((2, 8, 9), np.uint8), "uint8"),
        (np.zeros((2, 30), np.float32), "float32"),
        (np.zeros((2, 3, 4, 5, 6)), "float32"),
    ],
)
def test_images_of_the_run_s_shape_are_taken_as_they_are(
    images: NDArray[np.generic], dtype: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "it.npz", images=images, labels=[7, 0])
    config = checked_config("own.npz", input_shape=images.shape[1:], input_kind=dtype)

    found, labels = read_images(tmp_path / "it.npz", config)

    fitted = fit_images(found, config, tmp_path / "it.npz")
    assert labels is not None
    assert labels.tolist() == [7, 0]
    assert (str(fitted.dtype), fitted.shape) == (dtype, images.shape)


@pytest.mark.parametrize(
    ("shape", "dtype", "received"),
    [
        ((4, 3), "uint8", r"uint8 of shape \(3, 4\)"),
        ((3, 4), "float32", r"uint8 of shape \(3, 4\)"),
        ((12,), "uint8", r"uint8 of shape \(3, 4\)"),
        ((3, 5, 3), "uint8", r"uint8 of shape \(3, 4, 3\)"),
    ],
)
def test_images_unlike_those_of_an_own_network_s_run_are_refused(
    shape: tuple[int, ...], dtype: str, received: str, tmp_path: Path
) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "it.png")
    config = checked_config("own.npz", input_shape=shape, input_kind=dtype)
    images, _ = read_images(tmp_path / "it.png", config)
    sentence = rf"it\.png like the run's, {dtype} of shape .*Received: {received}\.$"
    with pytest.raises(DatasetError, match=sentence):
        fit_images(images, config, Path("it.png"))


def test_targets_are_no_labels_of_images_to_predict(tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", images=LEVELS, labels=np.zeros(3))
    with pytest.raises(DatasetError, match=r"whole numbers from 0\. Received: float64"):
        read_images(tmp_path / "it.npz", checked_config("own.npz", input_shape=(4,)))
