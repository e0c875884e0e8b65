"""The settings of `train` and `submit`: one option per configuration field, or a file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.config_files import read_config_file
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.errors import UsageError
from tapeworks.model.config import Architecture, RunConfig, run_config
from tapeworks.model.update_config import UpdateConfig
from tapeworks.storage.records import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunStatus

#: Of a run in the queue.
priority_type = Whole(LOWEST_PRIORITY, HIGHEST_PRIORITY)

_Command = Callable[..., int]

_NAMING = [
    click.option("--name", help="what to call the run"),
    click.option(
        "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="to find it by; may be repeated"
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


def changed_settings(texts: Sequence[str]) -> dict[str, str]:
    """Other settings of a run, as `--set` gives them."""
    return {name.replace("-", "_"): value for name, value in pairs(texts, "--set").items()}


def varied_settings(texts: Sequence[str]) -> dict[str, list[str]]:
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


#: The fields in the order of the help: what a run is made of, its updates, its network.
FIELDS = sorted(
    RunConfig.model_fields,
    key=lambda name: (name in Architecture.model_fields, name in UpdateConfig.model_fields),
)

#: What stands for a value in the help, where it is not a number.
METAVARS = {
    "classes": "3,6",
    "kernel_sizes": "3,5,7",
    "data_dir": "DIRECTORY",
    "dataset": "NAME",
}

Decorator = Callable[[Callable[..., int]], Callable[..., int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A new run as the user asked for it; what is not given is left to the defaults."""

    given: dict[str, Any]  #: values by field, as text; the configuration reads them
    config: Path | None  #: a file of settings; options go before them
    init_from: Path | None  #: a safetensors file of initial parameters

    @property
    def is_empty(self) -> bool:
        """True if nothing was asked for."""
        return not (self.given or self.config or self.init_from)

    def configuration(self) -> RunConfig:
        """The configuration from options, then the file, then the defaults."""
        return run_config(self.values())

    def values(self) -> dict[str, Any]:
        """Return the settings of options and file, unchecked."""
        return (read_config_file(self.config) if self.config else {}) | self.given


def with_run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a new run; it gets them as its argument `request`."""

    @functools.wraps(command)
    def wrapper(config: Path, init_from: Path, **arguments: Any) -> int:
        options = {field: arguments.pop(field) for field in FIELDS}
        given = {field: value for field, value in options.items() if value is not None}
        request = Request(given=given, config=config, init_from=init_from)
        return command(request=request, **arguments)

    path = PathType()
    own: list[Decorator] = [
        click.option("--config", type=path, help="settings in YAML or TOML; options go before"),
        click.option("--init-from", type=path, help="initial parameters, safetensors"),
    ]
    decorated: Callable[..., int] = wrapper
    for option in reversed([*map(_option, FIELDS), *own]):  # the last one applied is listed first
        decorated = option(decorated)
    return decorated


def _option(name: str) -> Decorator:
    field = RunConfig.model_fields[name]
    flag, help_ = f"--{name.replace('_', '-')}", f"{field.description}{_default(field.default)}"
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=None, help=help_)
    return click.option(flag, name, metavar=_metavar(name), help=help_)


def _metavar(name: str) -> str:
    choices = getattr(RunConfig.model_fields[name].annotation, "__members__", None)
    if choices:
        return "|".join(member.value for member in choices.values())
    return METAVARS.get(name, "NUMBER")


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"  [default: {shown}]"
