"""A file's functions and options, held against the contract."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tapeworks.model.given_settings import OPTION_PREFIX, grid_hint
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.module import LOGITS, LOSSES, PARAMETERS, OwnModule
from tapeworks.model.networks.own.spec import (
    LARGEST_NUMBER,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_OPTIONS,
    Option,
    is_option,
)

#: The arguments that are given by position, by function.
ARGUMENTS = {
    PARAMETERS: ("seed",),
    LOSSES: ("parameters", "images", "labels"),
    LOGITS: ("parameters", "images"),
}

#: The types of options, in words.
KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: f"text of at most {LONGEST_TEXT:,} characters",
}


def read_defaults(module: OwnModule) -> dict[str, Option]:
    """The options of all functions, with their defaults. Raises `Refusal`."""
    defaults: dict[str, Option] = {}
    for name, function in module.written.items():
        for option, default in _read_options(name, function).items():
            known = defaults.setdefault(option, default)
            if (type(known), known) != (type(default), default):
                raise Refusal(
                    f"Expected the same default of {option} in all functions. "
                    f"Received: {option}={known!r} and {option}={default!r}."
                )
    if len(defaults) > MOST_OPTIONS:
        raise Refusal(f"Expected at most {MOST_OPTIONS} options. Received: {len(defaults)}.")
    return defaults


def resolve_options(defaults: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Option]:
    """All options in their own types, those that are not given at their defaults.

    Text is converted to the type of the default. Raises `Refusal`.
    """
    for name in given:
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            names = f"It has {', '.join(defaults)}" if defaults else "It has none"
            hint = f"Did you mean {near[0]}?" if near else f"{names}."
            raise Refusal(f"There is no option named {name!r}. {hint}")
    return {
        name: _convert(name, given.get(name, default), default)
        for name, default in defaults.items()
    }


def _read_options(name: str, function: Callable[..., Any]) -> dict[str, Option]:
    arguments = inspect.signature(function).parameters.values()
    _check_positions(name, [one for one in arguments if one.kind is not one.KEYWORD_ONLY])
    options = {one.name: one.default for one in arguments if one.kind is one.KEYWORD_ONLY}
    for option, default in options.items():
        if default is inspect.Parameter.empty:
            raise Refusal(
                f"Expected a default for the option {option} of {name}. Received: none; write "
                f"{option}=… behind the asterisk."
            )
        if type(default) not in KINDS or not is_option(default):
            raise Refusal(
                f"Expected a bool, int, float or str as the default of {option}, finite and short. "
                f"Received: {option}={_shorten(default)} ({type(default).__name__})."
            )
        if len(option) > LONGEST_NAME:
            raise Refusal(f"Expected names of options of at most {LONGEST_NAME} characters.")
    return options


def _check_positions(name: str, given: list[inspect.Parameter]) -> None:
    """Others' names will do, but not the contract's in other places."""
    wanted = ARGUMENTS[name]
    is_plain = all(
        one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
        and one.default is inspect.Parameter.empty
        for one in given
    )
    names = [one.name for one in given]
    swapped = [a for a, b in zip(names, wanted, strict=False) if a != b and a in wanted]
    if not is_plain or len(given) != len(wanted) or swapped:
        raise Refusal(
            f"Expected {name}({', '.join(wanted)}, *, options with defaults). "
            f"Received: {name}({', '.join(map(str, given))}{', *, …' if is_plain else ''})."
        )


def _convert(name: str, value: Any, default: Option) -> Option:
    kind = type(default)
    found = _parse(value, kind) if isinstance(value, str) and kind is not str else value
    if kind is float and type(found) is int and abs(found) <= LARGEST_NUMBER:
        found = float(found)
    if kind is float and found == 0:
        found = 0.0  # -0.0 equals it, and would be another network's
    if type(found) is not kind or not is_option(found):
        limit = f" up to {LARGEST_NUMBER:,}" if type(found) is kind is int else ""
        raise Refusal(
            f"Expected {KINDS[kind]}{limit} as the option {name}, like its default {default!r}. "
            f"Received: {name}={_shorten(value)}.{grid_hint(OPTION_PREFIX + name, value)}"
        )
    return found


def _parse(text: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower())
    try:
        return None if "_" in text else kind(text)
    except ValueError:
        return None


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
