"""What a run's network makes of images in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.fitting import fitted
from tapeworks.model.datasets.npz import read_images
from tapeworks.model.datasets.png import read_png
from tapeworks.model.datasets.source import Images
from tapeworks.model.parameters import Arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One image, and how likely each class is."""

    file: str
    image: int  #: its place in the file
    label: int | None  #: the file's own, if it has labels
    predicted: int  #: the label of the likeliest class
    probabilities: dict[int, float]  #: by label, in the order of the run's classes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pictures:
    """A file's images at the side of the run's network."""

    file: Path
    images: Images  #: (n, side, side)
    labels: list[int] | list[None]  #: the file's own, or of each None
    size: tuple[int, int]  #: rows and columns in the file


def read(file: Path, config: RunConfig) -> Pictures:
    """A PNG's one image, or an .npz file's. Raises `DatasetError`, or `UsageError` for others."""
    kind = file.suffix.lower()
    if kind not in {".png", ".npz"}:
        raise UsageError(f"Expected files ending in .png or .npz. Received: {file}.")
    images, labels = (read_png(file), None) if kind == ".png" else read_images(file)
    return Pictures(
        file=file,
        images=fitted(images, config, file),
        labels=[None] * len(images) if labels is None else labels.tolist(),
        size=(images.shape[1], images.shape[2]),
    )


def predict(pictures: Pictures, config: RunConfig, parameters: Arrays) -> list[Prediction]:
    """Of every image in a file. Raises `ParametersError` if the parameters give no numbers."""
    from tapeworks.model.inference import (  # loads TensorFlow, which takes seconds
        logits,
        probabilities,
    )

    shares = probabilities(logits(config.network, parameters, pictures.images))
    return [
        Prediction(
            file=str(pictures.file),
            image=image,
            label=label,
            predicted=config.classes[int(row.argmax())],
            probabilities=dict(zip(config.classes, row.tolist(), strict=True)),
        )
        for image, (label, row) in enumerate(zip(pictures.labels, shares, strict=True))
    ]
