"""The form of a new run: an input for each setting, as the configuration's own schema has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from starlette.datastructures import FormData, QueryParams

from tapeworks.cli.descriptions import pairs, parse_grid
from tapeworks.cli.given import read_priority
from tapeworks.cli.options import FIELDS
from tapeworks.errors import UsageError
from tapeworks.model.config import RunConfig
from tapeworks.model.networks.builtin.spec import Architecture
from tapeworks.model.update_config import UpdateConfig
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.web.submitting import Wanted, key_of_form, submit_runs

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
    """Return what was typed into the form; an empty input counts as none.

    Raises `UsageError` for an input that the form does not have.
    """
    for name in given.keys() - {*FIELDS, *DESCRIPTIONS, "key"}:
        raise UsageError(f"Expected an input of the form. Received: {name}")
    return {
        name: text for name, text in given.multi_items() if isinstance(text, str) and text.strip()
    }


def submit_typed(history: History, typed: Mapping[str, str]) -> list[RunRecord]:
    """Queue the run, or all runs of the grid, or none; what was sent twice is queued once.

    Raises as `tapeworks submit` does.
    """
    choices = varied(typed)
    left = {one.name for one in fields() if one.choices and typed.get(one.name) == one.default}
    given = [name for name in FIELDS if name in typed and name not in left & choices.keys()]
    wanted = Wanted(
        config={name: typed[name].strip() for name in given},
        vary=choices,
        described=_describe(typed),
    )
    return submit_runs(history, wanted, key_of_form(typed))


def varied(typed: Mapping[str, str]) -> dict[str, list[str]]:
    """The choices of a grid."""
    return parse_grid(lines(typed.get("vary", "")))


def _describe(typed: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {"tags": pairs(lines(typed.get("tags", "")), "tag")}
    described |= {name: typed[name] for name in ("name", "note") if name in typed}
    if "priority" in typed:
        described["priority"] = read_priority("priority", typed["priority"])
    if "paused" in typed:
        described["status"] = RunStatus.PAUSED
    return described


def lines(text: str) -> list[str]:
    """The lines of a form's field that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def mentioned(sentence: str) -> set[str]:
    """Return the settings that a sentence is about."""
    return set(_MENTIONED.findall(sentence)) & {*SETTINGS, *DESCRIPTIONS}
