"""Labels as they are typed: a list, ranges, or all that a data set has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

from tapeworks.model.networks.builtin.spec import BUILT_IN, split_items

#: Classes of a run: a prediction is stored in a byte.
MOST_CLASSES = 256

#: The labels of the data sets whose images the built-in network takes.
ALL_LABELS = {"digits": tuple(range(10)), "mnist": tuple(range(10))}

#: All the labels of a data set, as they are asked for.
ALL = "all"


def split_labels(value: Any, info: ValidationInfo) -> Any:
    """Whole numbers as on the command line: "3,6", "0-9", "0-3,8", or all of the data set's."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == ALL:
        return _all_labels(info.data)
    return [label for item in split_items(value) for label in _in_range(item)]


def _all_labels(values: dict[str, Any]) -> tuple[int, ...]:
    """Those of the data set as far as it is here; with a user's network the check finds them."""
    if values.get("network") != BUILT_IN:
        return ()
    dataset = str(values.get("dataset"))
    labels = ALL_LABELS.get(dataset) or _labels_in_file(Path(dataset))
    if labels is None:
        raise ValueError("expected the labels of your own file, such as 0-9")
    if len(labels) > MOST_CLASSES:
        raise ValueError(f"expected at most {MOST_CLASSES} labels; {dataset} has {len(labels)}")
    return labels


def _labels_in_file(path: Path) -> tuple[int, ...] | None:
    """Those of an .npz file, None where it cannot be read here. Raises `DatasetError`."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return None
    # It loads NumPy, and its package this module.
    from tapeworks.model.datasets.own_files import read_own_labels

    try:
        return read_own_labels(path)
    except OSError:
        return None


def _in_range(item: str) -> Iterable[Any]:
    """The labels from the first to the last, or the one that it is."""
    ends = re.fullmatch(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*", item)
    if ends is None:
        return [item]
    first, last = int(ends[1]), int(ends[2])
    if not first < last < first + MOST_CLASSES:
        raise ValueError(f"expected labels from a lower to a higher one, {MOST_CLASSES} at most")
    return range(first, last + 1)
