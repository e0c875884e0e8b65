"""Records of a history as pandas data frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from tapeworks.storage.records import ImageValues

if TYPE_CHECKING:
    from pandas import DataFrame


def make_frame(kind: type[Any], records: Iterable[Any]) -> DataFrame:
    """A row per record; its columns are there also when no row is."""
    import pandas  # takes longer to load than a listing may

    columns = [field.name for field in fields(kind)]
    frame = pandas.DataFrame([asdict(record) for record in records], columns=columns)
    # Without any accuracy its column is one of numbers all the same, of NaN.
    return frame.astype({name: float for name in columns if name == "accuracy"})


def make_image_frame(values: ImageValues) -> DataFrame:
    """A row per image; what has no value is NaN, or pandas.NA, in every row."""
    import numpy as np
    import pandas

    losses = np.frombuffer(values.losses, "<f4")
    numbers = values.image_numbers
    image = np.arange(len(losses)) if numbers is None else np.frombuffer(numbers, "<i4")
    return pandas.DataFrame(
        {
            "image": image,
            "loss": losses,
            "gradient_norm": np.full(len(losses), np.nan, "<f4")
            if values.gradient_norms is None
            else np.frombuffer(values.gradient_norms, "<f4"),
            "predicted": pandas.array([pandas.NA] * len(losses), dtype="UInt8")
            if values.predictions is None
            else np.frombuffer(values.predictions, np.uint8),
        }
    )
