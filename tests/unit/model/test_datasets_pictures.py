"""Pictures and images from elsewhere: as grey levels, and at the side of a run's network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import load, pictures
from tapeworks.model.datasets.fitting import enlarge
from tapeworks.model.datasets.inputs import Appearance, find_appearance, fit_images, read_images
from tapeworks.model.datasets.pictures import read_picture
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

    images = read_picture(tmp_path / "it.png")

    assert images.dtype == np.uint8
    assert images.tolist() == [LEVELS.tolist()]


def test_only_whole_pictures_of_a_bearable_size_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = Image.fromarray(LEVELS)
    grey.save(tmp_path / "it.png")
    grey.save(tmp_path / "jpeg.png", format="JPEG")  # of another ending than it should have
    grey.save(tmp_path / "gif.png", format="GIF")
    (tmp_path / "directory.png").mkdir()
    content = (tmp_path / "it.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").touch()
    assert read_picture(tmp_path / "jpeg.png").shape == (1, 3, 4)
    no_picture = "cannot be read as a PNG or JPEG picture"
    for name in ("gif.png", "half.png", "empty.jpg"):
        with pytest.raises(DatasetError, match=rf"{name} {no_picture}"):
            read_picture(tmp_path / name)
    for name in ("directory.png", "no.png"):
        with pytest.raises(DatasetError, match=f"no file .*{name}"):
            read_picture(tmp_path / name)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 11)
    with pytest.raises(DatasetError, match=r"too large.*Received: 3 by 4"):
        read_picture(tmp_path / "it.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(DatasetError, match=r"too large"):
        read_picture(tmp_path / "it.png")


def test_pictures_of_cameras_are_upright_and_in_true_colours(tmp_path: Path) -> None:
    left = np.zeros((40, 60, 3), np.uint8)
    left[:, :20] = (200, 0, 0)  # red, at what will be the top
    turned = Image.Exif()
    turned[0x0112] = 6  # its top is at its right
    for mode in ("RGB", "CMYK"):
        Image.fromarray(left).convert(mode).save(tmp_path / "it.jpg", exif=turned, quality=95)
        [image] = read_picture(tmp_path / "it.jpg", in_colour=True)
        assert image.shape == (60, 40, 3)
        assert image[5, 20] == pytest.approx((200, 0, 0), abs=12)
        assert image[50, 20] == pytest.approx((0, 0, 0), abs=12)


def test_dark_ink_on_nothing_is_dark_on_white_and_a_film_its_first_picture(tmp_path: Path) -> None:
    ink = Image.new("RGBA", (4, 3), (10, 10, 10, 0))
    ink.putpixel((1, 1), (10, 10, 10, 255))
    ink.save(tmp_path / "it.png", save_all=True, append_images=[Image.new("RGBA", (4, 3))])
    [image] = read_picture(tmp_path / "it.png")
    assert image.tolist() == [[255] * 4, [255, 10, 255, 255], [255] * 4]


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
@pytest.mark.parametrize("is_known", [True, False])
def test_images_are_cropped_where_the_runs_own_were(
    dataset: str, size: tuple[int, int], side: int, is_known: bool
) -> None:
    images, config = _random(*size), RunConfig(dataset=dataset, image_side=side)
    own = Appearance(shape=size if is_known else None)

    found = fit_images(images, config, own, Path("it.npz"))

    np.testing.assert_array_equal(found, images[:, :side, :side])


@pytest.mark.parametrize("dataset", ["digits", "own.npz"])
def test_square_images_are_resampled_where_the_runs_own_were(dataset: str) -> None:
    images, own = _random(8, 8), Appearance(shape=(8, 8))
    found = fit_images(images, RunConfig(dataset=dataset), own, Path("it.npz"))
    np.testing.assert_array_equal(found, enlarge(images, 27))


@pytest.mark.parametrize("dataset", ["digits", "mnist", "own.npz"])
def test_images_of_the_networks_side_stay_as_they_are(dataset: str) -> None:
    images, config = _random(27, 27), RunConfig(dataset=dataset)
    assert fit_images(images, config, Appearance(shape=(28, 28)), Path("it")) is images


@pytest.mark.parametrize(
    ("dataset", "shape", "whole"),
    [("digits", (8, 8), 27), ("mnist", (28, 28), 28), ("a.npz", (40, 40), 40), ("a.npz", None, 27)],
)
def test_a_picture_of_any_size_is_brought_whole_and_in_proportion_to_the_runs_own(
    dataset: str, shape: tuple[int, ...] | None, whole: int
) -> None:
    picture = np.full((1, 200, 300), 240, np.uint8)
    picture[:, 60:140, 110:190] = 20  # a dark square in the middle, of 80 pixels

    [found] = fit_images(
        picture, RunConfig(dataset=dataset), Appearance(shape=shape), Path("a.jpg")
    )

    assert found.shape == (27, 27)
    rows, columns = (np.flatnonzero((found < 130).any(axis)) for axis in (1, 0))
    side = 80 * whole / 300
    assert [len(rows), len(columns)] == pytest.approx([side, side], abs=1)
    assert rows.mean() == pytest.approx((whole - 1) / 2, abs=0.6)
    assert found[0].tolist() == [240] * 27  # beside the picture as at its border


@pytest.mark.parametrize(
    ("shape", "size"),
    [((9, 9), (30, 20)), ((9, 12, 1), (30, 20)), ((9, 9, 3), (5, 5, 3)), ((3, 4), (3, 4, 1))],
)
def test_pictures_of_any_size_fit_a_network_of_pictures(
    shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    config = checked_config("own.npz", input_shape=shape)
    found = fit_images(np.full((2, *size), 77, np.uint8), config, Appearance(), Path("it"))
    assert found.shape == (2, *shape)
    assert (found == 77).all()


def test_a_picture_looks_inverted_that_is_bright_where_the_runs_own_are_dark(
    tmp_path: Path,
) -> None:
    digits = load(RunConfig()).training.images
    for levels, dataset in ((digits, "digits"), (255 - digits, str(tmp_path / "own.npz"))):
        np.savez(tmp_path / "own.npz", images=levels, labels=np.tile([3, 6], 25))
        appearance = find_appearance(RunConfig(dataset=dataset))
        assert not any(map(appearance.is_inverted, levels))
        assert all(map(appearance.is_inverted, 255 - levels))
    assert not find_appearance(RunConfig(dataset="/nowhere.npz")).is_inverted(digits[0])
    assert not Appearance(border=120).is_inverted(np.full((9, 9), 255, np.uint8))


def test_a_picture_for_a_run_on_pictures_in_colour_keeps_its_colours(tmp_path: Path) -> None:
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
    Image.fromarray(colours).save(tmp_path / "it.png")
    config = checked_config("cifar10", input_shape=(3, 4, 3))

    images, labels = read_images(tmp_path / "it.png", config)

    assert labels is None
    assert fit_images(images, config, Appearance(), tmp_path / "it.png").tolist() == [
        colours.tolist()
    ]


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_grey_pictures_have_three_equal_channels_in_colour(
    form: Callable[[NDArray[np.uint8]], Image.Image], tmp_path: Path
) -> None:
    form(LEVELS).save(tmp_path / "it.png")
    images = read_picture(tmp_path / "it.png", in_colour=True)
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

    fitted = fit_images(found, config, Appearance(), tmp_path / "it.npz")
    assert labels is not None
    assert labels.tolist() == [7, 0]
    assert (str(fitted.dtype), fitted.shape) == (dtype, images.shape)


@pytest.mark.parametrize(
    ("shape", "dtype", "received"),
    [
        ((3, 4), "float32", r"uint8 of shape \(3, 4\)"),
        ((12,), "uint8", r"uint8 of shape \(3, 4\)"),
        ((3, 5, 2), "uint8", r"uint8 of shape \(3, 4\)"),
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
        fit_images(images, config, Appearance(), Path("it.png"))


def test_targets_are_no_labels_of_images_to_predict(tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", images=LEVELS, labels=np.zeros(3))
    with pytest.raises(DatasetError, match=r"whole numbers from 0\. Received: float64"):
        read_images(tmp_path / "it.npz", checked_config("own.npz", input_shape=(4,)))
