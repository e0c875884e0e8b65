"""Settings and names that a user's file must not change: other networks run beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.check.guards import find_statement, refuse_change

#: Keras's settings as it is loaded, by the functions that change them.
KERAS_SETTINGS = {
    "keras.config.set_floatx": "float32",
    "keras.config.set_epsilon": 1e-7,
    "keras.config.set_image_data_format": "channels_last",
    "keras.config.set_dtype_policy": "float32",
}


class Surroundings:
    """The settings and names that a file could change, as they are."""

    def __init__(self) -> None:
        self.settings = _read_settings()
        #: Held, so that nothing else can come to have the identity of one of them.
        self.names: dict[str, Any] = {}
        self.imported: set[str] = set()  #: names of modules that Python's import has bound
        for place, module in _find_modules():
            for word, value in vars(module).items():
                if not word.startswith("_"):
                    self.names[f"{place}.{word}"] = value
                    if sys.modules.get(f"{module.__name__}.{word}") is value:
                        self.imported.add(f"{place}.{word}")


def refuse_changes(before: Surroundings, source: str) -> None:
    """Raise `Refusal` for the first of these that is another one now."""
    now = Surroundings()
    for name, setting in before.settings.items():
        if now.settings[name] != setting:
            refuse_change(name, *find_statement(source, name, is_setting=True))
    for name, value in before.names.items():
        found = now.names.get(name)
        is_import = isinstance(value, ModuleType) and name in now.imported
        if found is not value and not is_import and not _is_loaded(value, found):
            refuse_change(name, *find_statement(source, name, is_setting=False))


def _is_loaded(before: Any, now: Any) -> bool:
    """Check that a module has come into the place of what TensorFlow had put there for it."""
    is_stand_in = isinstance(before, ModuleType) and type(before) is not ModuleType
    return is_stand_in and sys.modules.get(vars(before).get("__name__", "")) is now is not None


def _find_modules() -> Iterator[tuple[str, ModuleType]]:
    """The modules whose names must mean the same afterwards, by what users call them."""
    yield from {"np": np, "np.random": np.random, "np.linalg": np.linalg}.items()
    yield from _walk("tf", tf, Path(tf.__file__).parent / "_api")
    for name, module in (("keras", "keras"), ("tf.keras", "keras._tf_keras.keras")):
        if (loaded := sys.modules.get(module)) is not None:
            yield from _walk(name, loaded, Path(str(loaded.__file__)).parent)


def _walk(name: str, module: ModuleType, folder: Path) -> Iterator[tuple[str, ModuleType]]:
    """A module and the public ones below it that are files of this folder."""
    yield name, module
    for word, value in list(vars(module).items()):
        if type(value) is not ModuleType or word.startswith("_") or word in {"compat", "src"}:
            continue
        if Path(vars(value).get("__file__") or "/").is_relative_to(folder):
            yield from _walk(f"{name}.{word}", value, folder)


def _read_settings() -> dict[str, Any]:
    return _read_keras_settings() | {
        "tf.config.optimizer.set_jit": str(tf.config.optimizer.get_jit()),
        "tf.config.optimizer.set_experimental_options": str(
            tf.config.optimizer.get_experimental_options()
        ),
        "tf.config.run_functions_eagerly": tf.config.functions_run_eagerly(),
        "tf.config.set_soft_device_placement": tf.config.get_soft_device_placement(),
        "np.seterr": np.geterr(),
    }


def _read_keras_settings() -> dict[str, Any]:
    if "keras" not in sys.modules:
        return KERAS_SETTINGS
    from keras import config

    found = (
        config.floatx(),
        config.epsilon(),
        config.image_data_format(),
        config.dtype_policy().name,
    )
    return dict(zip(KERAS_SETTINGS, found, strict=True))
