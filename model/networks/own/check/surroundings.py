"""Settings and names that a user's file must not change: other networks run beside it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.check.cases import Refusal

#: Modules whose names must mean the same afterwards, by what users call them.
MODULES = {
    "tf": tf,
    "tf.nn": tf.nn,
    "tf.math": tf.math,
    "tf.linalg": tf.linalg,
    "tf.random": tf.random,
    "np": np,
    "np.random": np.random,
    "np.linalg": np.linalg,
}


def note_surroundings() -> dict[str, Any]:
    """The settings and names that a file could change, as they are."""
    noted: dict[str, Any] = {
        f"{place}.{name}": id(value)
        for place, module in MODULES.items()
        for name, value in vars(module).items()
    }
    return noted | {
        "tf.config.optimizer.set_jit": str(tf.config.optimizer.get_jit()),
        "tf.config.optimizer.set_experimental_options": str(
            tf.config.optimizer.get_experimental_options()
        ),
        "tf.config.run_functions_eagerly": tf.config.functions_run_eagerly(),
        "tf.config.set_soft_device_placement": tf.config.get_soft_device_placement(),
        "np.seterr": np.geterr(),
        "os.environ": dict(os.environ),
    }


def refuse_changes(before: dict[str, Any]) -> None:
    """Raise `Refusal` for the first of these that is another one now."""
    now = note_surroundings()
    for name, value in before.items():
        if now.get(name) != value:
            raise Refusal(
                "Expected a file that leaves TensorFlow, NumPy and the environment as they are, "
                f"for other networks are computed beside it. Received: a change of {name}."
            )
