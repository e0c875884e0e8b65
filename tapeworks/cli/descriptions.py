"""A new run's name and place in the queue: options beside those that decide its result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from tapeworks.cli.completion import complete_tag
from tapeworks.cli.option_kinds import Whole
from tapeworks.errors import UsageError
from tapeworks.model.given_settings import OPTION_PREFIX
from tapeworks.storage.records import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunStatus

#: Of a run in the queue.
priority_type = Whole(LOWEST_PRIORITY, HIGHEST_PRIORITY)

_Command = Callable[..., int]

_NAMING = [
    click.option("--name", help="what to call the run"),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_tag,
        help="to find it by; may be repeated",
    ),
    click.option("--note", help="a line to remember"),
]

_QUEUEING = [
    click.option(
        "--priority", type=priority_type, help="a higher one is taken first  [default: 0]"
    ),
    click.option("--paused", is_flag=True, help="wait for: tapeworks resume"),
]


def with_name_options(command: _Command) -> _Command:
    """Give a command options for name, tags and note; it gets those given as `described`."""
    return _with(_NAMING, command)


def with_queue_options(command: _Command) -> _Command:
    """The same, and options for the run's place in the queue."""
    return _with([*_NAMING, *_QUEUEING], command)


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as values by name. Raises `UsageError` for any other, and a name twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise UsageError(
                f"Expected {option} NAME=VALUE, each name once. Received: {option} {text}"
            )
        found[name] = value
    return found


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Other settings of a run, as `--set` gives them."""
    return {name.replace("-", "_"): value for name, value in pairs(texts, "--set").items()}


def parse_options(texts: Sequence[str]) -> dict[str, str]:
    """Options of a user's network as settings, as `--option` gives them."""
    options = pairs(texts, "--option")
    return {f"{OPTION_PREFIX}{name.replace('-', '_')}": value for name, value in options.items()}


def parse_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """The choices for each setting of a grid, as `--vary` gives them.

    Between commas; between semicolons where a value has commas itself.
    """
    return {
        name.replace("-", "_"): choices.split(";" if ";" in choices else ",")
        for name, choices in pairs(texts, "--vary").items()
    }


def _with(options: list[Any], command: _Command) -> _Command:
    @functools.wraps(command)
    def wrapper(**arguments: Any) -> int:
        named = {key: arguments.pop(key, None) for key in ("name", "note", "priority")}
        described = {key: value for key, value in named.items() if value is not None}
        if tags := arguments.pop("tags"):
            described["tags"] = pairs(tags, "--tag")
        if arguments.pop("paused", False):
            described["status"] = RunStatus.PAUSED
        return command(described=described, **arguments)

    decorated: _Command = wrapper
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
