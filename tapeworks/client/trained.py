"""A run's trained parameters in use: measured, asked what pictures show, exported.

What needs TensorFlow is done in a process of its own.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from pydantic import TypeAdapter

from tapeworks.cli import given
from tapeworks.cli.choices import Choice
from tapeworks.client.calls import name_arguments
from tapeworks.cluster.apart import PARAMETERS_FILE, work_apart
from tapeworks.cluster.redis_server import temporary_directory
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.exporting.files import plan_export, write_export
from tapeworks.exporting.forms import NETWORKS, Form
from tapeworks.model.config import restore_config
from tapeworks.scheduler.driving.driver import find_source
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, Metric, RunRecord


def read_choice(after: int | None, best: str | None) -> Choice:
    """Return the parameters that are meant. Raises `InvalidValue`, `UsageError` for both."""
    if after is not None and best is not None:
        raise UsageError("after and best exclude each other; choose one.")
    if best not in {None, *Metric}:
        raise InvalidValue(" or ".join(Metric), "best", best)
    return Choice(after=after, metric=None if best is None else Metric(best))


#: Pictures to look at: in files, or as an array.
Images = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | ArrayLike

#: The file of an array of images in the directory of a task.
ARRAY_FILE = "images.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A run with a choice of its parameters."""

    history: History
    run: RunRecord
    choice: Choice  #: of parameters

    def evaluate(self, test_images: int | None, workers: int) -> EvaluationRecord:
        """Measure the parameters on held-out images of the data set, which is read here."""
        with self._material() as material:
            asked = material | {"test_images": test_images, "workers": workers}
            return TypeAdapter(EvaluationRecord).validate_python(_ask("evaluate", asked))

    def predict(self, images: Images, *, invert: bool) -> list[dict[str, Any]]:
        """Predict images, which are an array or in files; warns of what may be wrong with them."""
        with self._material() as material:
            files, array = _list_files(images), Path(material["directory"]) / ARRAY_FILE
            if files is None:
                _keep_array(images, array)
            asked = material | {
                "files": [os.fspath(file) for file in files or ()],
                "array": os.fspath(array) if files is None else None,
                "invert": invert,
            }
            found: list[dict[str, Any]] = _ask("predict", asked, _warn)
        absent = {"file", "label"} if files is None else set[str]()
        return [{name: one[name] for name in one if name not in absent} for one in found]

    def export(self, output: str | os.PathLike[str], to: str | None) -> Path:
        """Write the history, the parameters or the network; the ending decides unless `to` does."""
        if to not in {None, *Form}:
            raise InvalidValue(f"one of {', '.join(Form)}", "to", to)
        export = plan_export(output, None if to is None else Form(to), choice=self.choice)
        path = Path(output).absolute()
        if export.form in NETWORKS:
            with self._material() as material:
                _ask("export", material | {"form": export.form, "output": os.fspath(path)})
        else:
            write_export(self.history, [self.run], export)
        return path

    @contextmanager
    def _material(self) -> Iterator[dict[str, Any]]:
        """Yield the run and its parameters as the process reads them."""
        checkpoint = self.choice.checkpoint(self.history, self.run)
        source = find_source(self.history, restore_config(self.run.configuration))
        with temporary_directory({PARAMETERS_FILE: checkpoint.parameters}) as directory:
            yield {
                "run": TypeAdapter(RunRecord).dump_python(self.run, mode="json"),
                "directory": os.fspath(directory),
                "completed_iterations": checkpoint.completed_iterations,
                "digest": checkpoint.digest,
                "source": source,
            }


def _list_files(images: Any) -> list[Path] | None:
    """The files that are named; None where an array is given."""
    kinds = str, bytes, os.PathLike
    named = [images] if isinstance(images, kinds) else images
    if not isinstance(named, list | tuple) or not named:
        return None
    if not all(isinstance(one, kinds) for one in named):
        return None
    return [given.read_path("images", one).absolute() for one in named]


def _keep_array(images: Any, file: Path) -> None:
    """Write an array of images, or of one, where the process reads it; `InvalidValue`."""
    import numpy as np

    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise InvalidValue("files, or an array of images", "images", images) from error
    if array.dtype.hasobject or array.dtype.kind in "USV" or not array.ndim or not array.size:
        raise InvalidValue("files, or an array of images", "images", images)
    np.savez(file, images=array)


def _ask(task: str, asked: dict[str, Any], tell: Callable[[str], None] = lambda _: None) -> Any:
    with work_apart(task, asked) as process:
        return process.wait(tell)


def _warn(sentence: str) -> None:
    warnings.warn(name_arguments(sentence), stacklevel=7)  # where the program calls `Run.predict`
