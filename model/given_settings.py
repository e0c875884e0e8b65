"""Settings as they are given, from any library's types, and error sentences for invalid ones."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tapeworks.model.environment import expand_path
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.own.spec import LARGEST_NUMBER, LONGEST_TEXT, is_option
from tapeworks.model.other_names import find_near, nearest_setting
from tapeworks.model.plain import plain

#: Settings that are paths, or may be.
OF_PATHS = ("dataset", "data_dir", "network")

#: The calls that take these beside settings, and what other tools call one of them.
_ARGUMENTS = {
    **dict.fromkeys(("resume", "stop_after", "workers"), "train"),
    **dict.fromkeys(("init_from", "name", "note", "tags"), "train and submit"),
    "priority": "submit",
}
_OTHER_ARGUMENTS = dict.fromkeys(("n_workers", "num_workers", "n_jobs", "jobs"), "workers")

#: What stands before the name of an option where it is written as a setting.
OPTION_PREFIX = "option."

#: Items of a list, and characters of a value, that an error shows; more are a slip.
MOST_SHOWN, LONGEST_SHOWN = 300, 200

#: A configuration's fields, by the settings' names.
Fields = Mapping[str, FieldInfo]


def _check_names(names: Iterable[Any], fields: Fields) -> None:
    for name in names:
        if name not in fields:
            _check_argument(str(name))
            near = nearest_setting(str(name), fields)
            hint = f" Did you mean {near}?" if near else ""
            raise ConfigurationError(f"There is no setting named {name!r}.{hint}")


def _check_argument(name: str) -> None:
    """Refuse what says how a run is driven or called, which is no part of its configuration."""
    meant = _OTHER_ARGUMENTS.get(name, name)
    if meant in _ARGUMENTS:
        raise ConfigurationError(
            f"{name} is no setting of a run. Expected it beside the settings, as the argument "
            f"{meant} of {_ARGUMENTS[meant]}; on the command line it is an option."
        )


def fold_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Move settings named `option.NAME` into `options`. Raises `ConfigurationError`."""
    values = {k: v for k, v in given.items() if not str(k).startswith(OPTION_PREFIX)}
    named = {
        str(k).removeprefix(OPTION_PREFIX): v
        for k, v in given.items()
        if str(k).startswith(OPTION_PREFIX)
    }
    options = values.get("options", {})
    if not isinstance(options, Mapping):
        raise _refusal("options", options, "expected values by name, such as hidden: 120")
    folded = {str(name): _option(str(name), one) for name, one in {**options, **named}.items()}
    return values | {"options": folded} if folded else values


def drop_varied(values: Mapping[str, Any], varied: Iterable[str]) -> dict[str, Any]:
    """Return the settings that a grid goes out from without those that vary in it."""
    names = set(varied)
    kept = {name: value for name, value in values.items() if name not in names}
    if isinstance(options := kept.get("options"), Mapping):
        kept["options"] = {k: v for k, v in options.items() if OPTION_PREFIX + k not in names}
    return kept


def check_given_once(values: Mapping[str, Any], vary: Mapping[str, Sequence[Any]]) -> None:
    """Raise `ConfigurationError` for a setting of all runs of a grid that varies as well."""
    options = values.get("options")
    named = options if isinstance(options, Mapping) else {}
    given = {OPTION_PREFIX + str(name): value for name, value in named.items()} | dict(values)
    for name in vary.keys() & given.keys():
        raise ConfigurationError(
            f"{name}: expected one value for all runs or several that vary, not both. Received: "
            f"{name}={format_value(given[name])} and to vary {name}={format_value(vary[name])}; "
            "leave one out."
        )


def _option(name: str, value: Any) -> Any:
    option = plain(value)
    if isinstance(option, bool | int | float | str) and is_option(option):
        return option
    raise _refusal(
        OPTION_PREFIX + name,
        value,
        f"expected a finite number up to {LARGEST_NUMBER:,}, a truth value, or text of at most "
        f"{LONGEST_TEXT:,} characters as an option",
    )


def plain_values(given: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Convert what other libraries' types hold; refuse what pydantic would take for another value.

    To pydantic True is 1, and a set has an order. Raises `ConfigurationError`.
    """
    _check_names(given, fields)
    values = {
        name: value if isinstance(value, Mapping) else plain(value) for name, value in given.items()
    }
    for name, value in values.items():
        if name in OF_PATHS:
            values[name] = _path(name, value)
        elif isinstance(value, set | frozenset):
            raise _refusal(name, value, "expected a list, as a set has no order")
        elif fields[name].annotation is not bool and _has_truth(value):
            raise _refusal(name, value, "expected a number, not a truth value")
    return values


def _has_truth(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, bool) for item in items)


def _path(name: str, value: Any) -> Any:
    text = os.fsdecode(value) if isinstance(value, bytes) else value
    if isinstance(text, str) and "\0" in text:
        raise _refusal(name, repr(text), "no path has a NUL")
    try:
        return expand_path(text) if isinstance(text, str) else text
    except ValueError as error:
        raise _refusal(name, text, str(error)) from error


def _refusal(name: str, value: Any, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: {problem}. Received: {name}={format_value(value)}.")


#: What is expected where pydantic finds an error of this kind, in place of its own words.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "values by name",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than_equal": "{ge} or more",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_type": "a whole number",
    "json_invalid": "settings as JSON ({error})",
    "json_type": "settings as a text of JSON",
    "less_than_equal": "{le} or less",
    "list_type": "a list, such as 3,6",
    "literal_error": "{expected}",
    "model_type": "settings by name",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text",
    "string_type": "text",
    "too_long": "at most {max_length} of them",
    "too_short": "at least {min_length} of them",
    "tuple_type": "a list, such as 3,6",
}


def sentence(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence with what was received."""
    first = error.errors(include_url=False)[0]
    problem = _problem(first)
    if first["loc"]:
        name, value = str(first["loc"][0]), first["input"]
        hint = (grid_hint(name, value) if len(first["loc"]) == 1 else "") or _near_hint(first)
        return f"{_refusal(name, value, problem)}{hint}"
    if first["type"] in _EXPECTED:
        return f"{problem[0].upper()}{problem[1:]}. Received: {format_value([first['input']])}."
    return problem + "."


def _near_hint(found: ErrorDetails) -> str:
    """Return the nearest of the values that a setting may have, if it has one of a few."""
    choices = re.findall(r"'([^']+)'", str(found.get("ctx", {}).get("expected", "")))
    if not choices or not isinstance(found["input"], str):
        return ""
    near = find_near(found["input"].lower(), {one: [one] for one in choices})
    return f" Did you mean {near[0]}?" if near else ""


def grid_hint(name: str, value: Any) -> str:
    """Return how to queue a run of each value, if several were given where one is expected."""
    values = value.split(",") if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not 1 < len(values) <= MOST_SHOWN or "" in values:
        return ""
    given = f"{name}={format_value(values)}"
    return f" For a run of each: tapeworks submit --vary {given}, or submit_grid in Python."


def _problem(found: ErrorDetails) -> str:
    if found["type"] in _EXPECTED:
        facts = {name: _plain_fact(fact) for name, fact in found.get("ctx", {}).items()}
        return f"expected {_EXPECTED[found['type']].format(**facts)}"
    message = found["msg"].removeprefix("Value error, ")
    return message if not found["loc"] else message[0].lower() + message[1:]


def _plain_fact(fact: Any) -> str:
    """A bound without the digits that nobody typed, choices without quotation marks."""
    return f"{fact:.10g}" if isinstance(fact, float) else str(fact).replace("'", "")


def format_value(value: Any) -> str:
    """A value as an error shows it, cut to what a person would read."""
    try:
        shown = map(_format_item, value[:MOST_SHOWN]) if isinstance(value, list | tuple) else None
        return ",".join(shown) if shown else _format_item(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number too long to show"


def _format_item(value: Any) -> str:
    """In brief where it is nested: a list may hold itself, or a billion others in a few lines."""
    if isinstance(value, list | tuple | dict | set):
        return reprlib.repr(value)
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def describe_settings(fields: Fields) -> str:
    """Return a line for each setting that a user gives, with its default."""
    lines = [
        f"- {name}: {field.description}{_default_words(field)}"
        for name, field in fields.items()
        if field.description
    ]
    return "\n".join(lines)


def _default_words(field: FieldInfo) -> str:
    is_open = field.default is None or field.default_factory is not None
    return "" if is_open else f" [{format_value(field.default)}]"
