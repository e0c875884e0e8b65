"""One process of the check: runs users' networks on the images that it is given.

`python -m tapeworks.model.networks.own.child DIRECTORY`
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from tapeworks.model.networks.own.allowed import allow
from tapeworks.model.networks.own.checking import ANSWER, REQUEST
from tapeworks.model.networks.own.module import load_module
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind, GradientForm
from tapeworks.model.parameters import Arrays, digest, from_bytes, to_bytes


def main(directory: Path) -> None:
    """Check all cases, and write what was found of each."""
    cases = json.loads((directory / REQUEST).read_text())
    answers = [_check(directory, number, case) for number, case in enumerate(cases)]
    (directory / ANSWER).write_text(json.dumps(answers))


def _check(directory: Path, number: int, case: dict[str, Any]) -> dict[str, Any]:
    from tapeworks.model.engine.results import Request
    from tapeworks.model.networks.own.engine import computation  # loads TensorFlow

    source_digest = allow(case["source"])
    module = load_module(source_digest)
    options = {
        name: case["options"].get(name, parameter.default)
        for name, parameter in inspect.signature(module.losses).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    parameters: Arrays = module.parameters(case["seed"], **options)
    (directory / f"parameters-{number}").write_bytes(to_bytes(parameters))
    sample = from_bytes((directory / f"sample-{number}").read_bytes())
    facts: dict[str, Any] = {
        "source_digest": source_digest,
        "arrays": [(name, array.shape) for name, array in parameters.items()],
        "has_logits": module.logits is not None,
        "backward": Backward.LOOP if case["is_per_image"] else Backward.MICROBATCH,
        "operations": 0,
    }
    images, labels = sample["images"], sample["labels"]
    network = OwnNetwork(
        **facts,
        input_shape=images.shape[1:],
        input_kind=ArrayKind(images.dtype.name),
        target_shape=labels.shape[1:],
        target_kind=ArrayKind(labels.dtype.name),
        options=tuple(sorted(options.items())),
        microbatch_size=case["microbatch_size"],
    )
    result = computation(network)(
        Request(
            parameters=parameters,
            images=images,
            labels=labels,
            wanted=GradientForm.SUMMED,
            microbatch_size=case["microbatch_size"],
        )
    )
    return {
        "facts": facts,
        "options": options,
        "bits": digest(to_bytes(result.gradients | result.values)),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
