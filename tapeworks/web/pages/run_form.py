"""The form of a new run: an input for each setting, as the configuration's own schema has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, QueryParams

from tapeworks.cli.descriptions import pairs, parse_grid
from tapeworks.cli.given import read_priority
from tapeworks.cli.options import FIELDS
from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.networks.builtin.spec import Architecture
from tapeworks.model.update_config import UpdateConfig
from tapeworks.scheduler.submission import grid, new_run, prepare_runs
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus

#: A user's network is a file, and none is taken over the web.
SETTINGS = tuple(name for name in FIELDS if name != "network")

#: What a run has beside its settings.
DESCRIPTIONS = ("name", "tags", "note", "priority", "paused", "vary")

#: A setting that a sentence is about: in front, or with what was received.
_MENTIONED = re.compile(r"(?:^|[ ,])(\w+)(?=[:=])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A setting's input."""

    name: str
    description: str
    group: str
    default: str
    #: To choose one of; nothing else is possible.
    choices: tuple[str, ...]
    is_truth: bool
    #: What a phone's keyboard shows.
    keyboard: str


@cache
def fields() -> tuple[Field, ...]:
    """All settings' inputs, in the order of the command line's help."""
    schema = RunConfig.model_json_schema()
    defaults = RunConfig()
    return tuple(
        _field(name, schema["properties"][name], schema["$defs"], getattr(defaults, name))
        for name in SETTINGS
    )


def _field(name: str, told: dict[str, Any], kinds: dict[str, Any], default: Any) -> Field:
    kind = kinds[told["$ref"].rpartition("/")[2]] if "$ref" in told else told
    types = {one["type"] for one in told.get("anyOf", [kind])}
    keyboards = {"integer": "numeric", "number": "decimal"}
    return Field(
        name=name,
        description=told["description"],
        group=_group(name),
        default=_text(default),
        choices=tuple(kind.get("enum", ())),
        is_truth=types == {"boolean"},
        keyboard=next((keyboards[one] for one in types if one in keyboards), "text"),
    )


def _group(name: str) -> str:
    if name in Architecture.model_fields:
        return "Network"
    return "Update" if name in UpdateConfig.model_fields else "Data and run"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None or value is False else str(value)


def read_typed(given: FormData | QueryParams) -> dict[str, str]:
    """Return what was typed into the form; an empty input counts as none."""
    known = {*FIELDS, *DESCRIPTIONS}
    return {
        name: text
        for name, text in given.multi_items()
        if name in known and isinstance(text, str) and text.strip()
    }


def submit_typed(history: History, typed: Mapping[str, str]) -> list[RunRecord]:
    """Queue the run, or all runs of the grid, or none. Raises as `tapeworks submit` does."""
    values = {name: typed[name].strip() for name in FIELDS if name in typed}
    vary = parse_grid(_lines(typed, "vary"))
    configs = grid(values, vary) if vary else [run_config(values)]
    for config in configs:
        _check_files(config)
    name, described = typed.get("name"), _describe(typed)
    names = [name and f"{name}-{number}" for number in range(1, len(configs) + 1)]
    runs = [
        new_run(prepared, name=numbered if vary else name, **described)
        for prepared, numbered in zip(prepare_runs(configs), names, strict=True)
    ]
    return history.queue.submit(runs)


def _check_files(config: RunConfig) -> None:
    """Raise `UsageError` for a network that is code, and for a file of nobody knows which place."""
    if not config.is_built_in:
        raise UsageError(
            "Expected the built-in network: one of yours is a file, none is taken over the web. "
            f"Received: network={config.network}. Use: tapeworks submit --network FILE"
        )
    if config.dataset.lower().endswith(".npz") and not Path(config.dataset).is_absolute():
        raise UsageError(
            "Expected the whole path of a file, as the scheduler's machine has it. "
            f"Received: dataset={config.dataset}"
        )


def _describe(typed: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {"tags": pairs(_lines(typed, "tags"), "tag")}
    if "note" in typed:
        described["note"] = typed["note"]
    if "priority" in typed:
        described["priority"] = read_priority("priority", typed["priority"])
    if "paused" in typed:
        described["status"] = RunStatus.PAUSED
    return described


def _lines(typed: Mapping[str, str], name: str) -> list[str]:
    return [line.strip() for line in typed.get(name, "").splitlines() if line.strip()]


def mentioned(sentence: str) -> set[str]:
    """Return the settings that a sentence is about."""
    return set(_MENTIONED.findall(sentence)) & {*SETTINGS, *DESCRIPTIONS}
