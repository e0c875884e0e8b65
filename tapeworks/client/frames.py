"""Records of a history as pandas data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from tapeworks.storage.records import EvaluationRecord, ImageValues, IterationRecord

if TYPE_CHECKING:
    from pandas import DataFrame


def make_frame(kind: type[Any], records: Iterable[Any]) -> DataFrame:
    """A row per record; its columns are there also when no row is."""
    import pandas  # takes longer to load than a listing may

    columns = [field.name for field in fields(kind)]
    frame = pandas.DataFrame([asdict(record) for record in records], columns=columns)
    # Without any accuracy its column is one of numbers all the same, of NaN.
    return frame.astype({name: float for name in columns if name == "accuracy"})


def make_history_frame(
    records: Iterable[IterationRecord], evaluations: Iterable[EvaluationRecord]
) -> DataFrame:
    """A row per iteration, with what was measured after it on held-out images, if anything was."""
    import pandas

    frame = make_frame(IterationRecord, records)
    measured = {each.completed_iterations - 1: each for each in evaluations}
    found = [measured.get(iteration) for iteration in frame["iteration"]]
    place = frame.columns.get_loc("accuracy") + 1
    for name in ("images", "accuracy", "loss"):
        values = [None if one is None else getattr(one, name) for one in found]
        kind = "Int64" if name == "images" else "float64"
        frame.insert(place, f"test_{name}", pandas.Series(values, dtype=kind))
    return frame


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


def make_prediction_frame(predictions: Sequence[Mapping[str, Any]]) -> DataFrame:
    """A row per image; the label that it has in its file is missing where there is none."""
    import pandas

    return pandas.DataFrame(
        [
            {name: value for name, value in one.items() if name != "probabilities"}
            | {f"p_{label}": share for label, share in one["probabilities"].items()}
            for one in predictions
        ]
    )
