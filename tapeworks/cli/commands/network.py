"""`tapeworks check-network`: the check of a network, without a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.option_kinds import PathType
from tapeworks.cli.options import Request, with_options_of
from tapeworks.cli.outputs.describe import as_json, setting_text, size
from tapeworks.cli.outputs.printing import put, say, visible
from tapeworks.errors import ExitCode, UsageError
from tapeworks.model import datasets, parameters
from tapeworks.model import update as optimizers
from tapeworks.model.config import run_config
from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Found, Speed
from tapeworks.model.networks.own.spec import Option
from tapeworks.model.networks.prepare import Prepared, prepare
from tapeworks.model.networks.spec import GradientForm

#: The settings on which the findings depend.
FIELDS = (
    "dataset",
    "data_dir",
    "classes",
    "images",
    "images_per_iteration",
    "seed",
    "gradients",
    "microbatch_size",
    "optimizer",
)


@click.command(
    "check-network",
    epilog="Example: tapeworks check-network lenet.py --option hidden=120 --dataset mnist",
)
@click.argument("file", metavar="FILE", type=PathType())
@with_options_of(FIELDS, with_init=False)
@click.option("--json", is_flag=True, help="print JSON")
def check_network_command(request: Request, file: Path, json: bool) -> int:
    """Check a network of your own on its data, and show what was found.

    FILE is Python. Its code runs in processes of their own, as it does before a run is queued; the
    speeds are those of one core of this machine. Nothing is stored.
    """
    config = run_config(request.values() | {"network": str(file)})
    if config.is_built_in:
        raise UsageError(f"Expected a Python file. Received: {file}.")
    datasets.check_dataset(config)
    try:
        [prepared] = prepare([config], is_measured=True)
    except NetworkError as error:
        _say_lines("".join(getattr(error, "__notes__", ())))
        raise
    if prepared.found is None:
        raise AssertionError(config.network)
    _say_lines(prepared.found.printed)
    if json:
        put(as_json(_values(prepared, prepared.found)))
    else:
        _put_lines(_lines(prepared, prepared.found))
    return ExitCode.DONE


def _say_lines(printed: str) -> None:
    for line in printed.splitlines():
        say(line)


def _put_lines(lines: list[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        put(visible(f"{label.ljust(width)}  {text}".rstrip()))


def _lines(prepared: Prepared, found: Found) -> list[tuple[str, str]]:
    config, values = prepared.config, _values(prepared, found)
    facts = found.facts
    options = " ".join(f"{name}={_option(one)}" for name, one in found.options.items())
    answer, many = values["answer_bytes"], config.images_in_a_microbatch
    total, arrays = values["parameter_count"], len(values["parameters"])
    return [
        ("network", config.network),
        ("digest", facts.source_digest),
        ("options", options or "none"),
        ("data", f"{config.dataset}, images {_shape(facts.input_shape)} {facts.input_kind}"),
        _labels(values),
        ("parameters", f"{total:,} in {arrays} arrays, {size(values['parameter_bytes'])}"),
        *((f"  {one['name']}", _array(one)) for one in values["parameters"]),
        ("gradients", f"{facts.backward}"),
        *(_speed(name, one) for name, one in zip(("sums", "per image"), found.speeds, strict=True)),
        ("answer", f"{size(answer['summed'])} for a microbatch of {many} images"),
        ("", f"{size(answer['per_image'])} with every image's gradient"),
        ("checkpoint", size(values["checkpoint_bytes"])),
    ]


def _option(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _labels(values: dict[str, Any]) -> tuple[str, str]:
    if values["classes"]:
        accuracy = "with logits" if values["has_logits"] else "without logits: no accuracy"
        return "classes", f"{setting_text(values['classes'])}, {accuracy}"
    return "targets", f"{_shape(values['target_shape'])} {values['target_type']}"


def _array(array: dict[str, Any]) -> str:
    return f"{_shape(array['shape'])}, {array['count']:,} numbers, {size(array['bytes'])}"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{side:,}" for side in shape) or "one number"


def _speed(name: str, speed: Speed) -> tuple[str, str]:
    if speed.backward is None:
        return f"  {name}", f"none: {speed.refusal}"
    seconds = speed.image_seconds
    fast = f"{seconds * 1e6:,.1f} µs per image, {1 / seconds:,.0f} images/s"
    return f"  {name}", f"{speed.backward}, {fast}"


def _values(prepared: Prepared, found: Found) -> dict[str, Any]:
    config, facts = prepared.config, found.facts
    state = optimizers.state_bytes(optimizers.initial_state(config))
    payload = parameters.to_bytes(prepared.parameters)
    return {
        "network": config.network,
        "digest": facts.source_digest,
        "options": found.options,
        "dataset": config.dataset,
        "image_shape": facts.input_shape,
        "image_type": facts.input_kind,
        "target_shape": facts.target_shape,
        "target_type": facts.target_kind,
        "classes": config.classes or None,
        "has_logits": facts.has_logits,
        "parameters": [
            {"name": name, "shape": shape, "count": math.prod(shape), "bytes": 4 * math.prod(shape)}
            for name, shape in facts.arrays
        ],
        "parameter_count": config.spec.parameter_count,
        "parameter_bytes": len(payload),
        "gradients": facts.backward,
        "operations": facts.operations,
        "speeds": [
            {
                "backward": speed.backward,
                "seconds_per_image": speed.image_seconds or None,
                "refusal": speed.refusal or None,
            }
            for speed in found.speeds
        ],
        "answer_bytes": _answer_bytes(prepared),
        "checkpoint_bytes": len(payload) + len(state or b""),
    }


def _answer_bytes(prepared: Prepared) -> dict[str, int]:
    """Of one microbatch."""
    network, many = prepared.config.spec, prepared.config.images_in_a_microbatch
    numbers = 4 * many * len(network.image_values(GradientForm.SUMMED))
    return {
        "summed": numbers + 8 * network.parameter_count,
        "per_image": numbers + 4 * many * network.parameter_count,
    }
