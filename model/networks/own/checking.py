"""The check of users' networks, in processes of their own, before a run is queued.

Two processes run each network at the same time, and must give the same bits. This process never
runs a user's code.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.spec import NetworkFacts, Option
from tapeworks.model.networks.spec import ArrayKind
from tapeworks.model.parameters import Arrays, from_bytes, to_bytes

#: Seconds that all cases together may take, and those that each adds.
START_SECONDS, CASE_SECONDS = 60.0, 60.0

#: Names of the files through which the processes talk.
REQUEST, ANSWER = "request.json", "answer.json"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One network to check, with options, on some images of its data."""

    name: str  #: of the file, for people
    source: str
    options: Mapping[str, Option]  #: as they were given; of a command line all are text
    seed: int
    is_per_image: bool  #: gradients are wanted image by image
    microbatch_size: int
    images: NDArray[Any]  #: (n, *image_shape) of uint8 or float32, a microbatch at the most
    labels: NDArray[Any]  #: (n, *label_shape)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """The facts of a checked network, and where its training begins."""

    facts: NetworkFacts
    options: dict[str, Option]  #: all of them, in their own types
    parameters: Arrays


def check_networks(cases: Sequence[Case]) -> list[Found]:
    """Check each network. Raises `NetworkError`, one sentence, for the first that cannot work."""
    with tempfile.TemporaryDirectory() as place:
        one, other = Path(place) / "one", Path(place) / "other"
        processes = [_start(directory, cases) for directory in (one, other)]
        limit = START_SECONDS + CASE_SECONDS * len(cases)
        for process in processes:
            try:
                process.communicate(timeout=limit)
            except subprocess.TimeoutExpired as error:
                raise NetworkError(f"The check took longer than {limit:g} s.") from error
            finally:
                process.kill()
        return [_read(one, other, number, case) for number, case in enumerate(cases)]


def _start(directory: Path, cases: Sequence[Case]) -> subprocess.Popen[bytes]:
    directory.mkdir()
    for number, case in enumerate(cases):
        sample = to_bytes({"images": case.images, "labels": case.labels})
        (directory / f"sample-{number}").write_bytes(sample)
    (directory / REQUEST).write_text(json.dumps([_describe(case) for case in cases]))
    command = [sys.executable, "-m", "tapeworks.model.networks.own.child", str(directory)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - this program


def _describe(case: Case) -> dict[str, Any]:
    names = ("name", "source", "seed", "is_per_image", "microbatch_size")
    return {name: getattr(case, name) for name in names} | {"options": dict(case.options)}


def _read(one: Path, other: Path, number: int, case: Case) -> Found:
    first, second = (json.loads((place / ANSWER).read_text())[number] for place in (one, other))
    for answer in (first, second):
        if "problem" in answer:
            raise NetworkError(f"{case.name}: {answer['problem']}")
    if first["bits"] != second["bits"]:
        raise NetworkError(
            f"{case.name}: expected the same bits in a second process. Received others."
        )
    facts = NetworkFacts(
        **first["facts"],
        input_shape=case.images.shape[1:],
        input_kind=ArrayKind(case.images.dtype.name),
        target_shape=case.labels.shape[1:],
        target_kind=ArrayKind(case.labels.dtype.name),
    )
    parameters = from_bytes((one / f"parameters-{number}").read_bytes())
    ordered = {name: np.asarray(parameters[name]) for name, _ in facts.arrays}
    return Found(facts=facts, options=first["options"], parameters=ordered)
