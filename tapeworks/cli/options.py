"""The settings of `train` and `submit`: one option per configuration field, or a file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.completion import value_completion
from tapeworks.cli.config_files import read_config_file
from tapeworks.cli.descriptions import parse_options
from tapeworks.cli.option_kinds import PathType
from tapeworks.model.config import RunConfig, list_values, run_config
from tapeworks.model.given_settings import drop_varied
from tapeworks.model.networks.builtin.spec import Architecture
from tapeworks.model.update_config import UpdateConfig

#: The fields in the order of the help: what a run is made of, its updates, its network.
FIELDS = sorted(
    RunConfig.model_fields.keys() - {"options", "network_facts"},
    key=lambda name: (
        name in Architecture.model_fields,
        name in UpdateConfig.model_fields,
        list(RunConfig.model_fields).index(name),
    ),
)

#: What stands for a value in the help, where it is not a number.
METAVARS = {
    "classes": "3,6",
    "kernel_sizes": "3,5,7",
    "data_dir": "DIRECTORY",
    "dataset": "NAME",
    "network": "FILE",
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

    def values(self, varied: Iterable[str] = ()) -> dict[str, Any]:
        """Return the settings of options and file, unchecked; what varies goes before the file."""
        in_file = read_config_file(self.config) if self.config else {}
        return drop_varied(in_file, varied) | self.given


def with_options_of(fields: Sequence[str], *, with_init: bool) -> Decorator:
    """Give a command options of a run's settings; it gets them as its argument `request`."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def wrapper(
            config: Path | None,
            option: tuple[str, ...],
            init_from: Path | None = None,
            **arguments: Any,
        ) -> int:
            options = {field: arguments.pop(field) for field in fields}
            given = {field: value for field, value in options.items() if value is not None}
            given |= parse_options(option)
            request = Request(given=given, config=config, init_from=init_from)
            return command(request=request, **arguments)

        path = PathType()
        own: list[Decorator] = [
            click.option(
                "--option",
                multiple=True,
                metavar="KEY=VALUE",
                help="an option of your network; may be repeated",
            ),
            click.option("--config", type=path, help="settings in YAML or TOML; options go before"),
        ]
        if with_init:
            own.append(
                click.option("--init-from", type=path, help="initial parameters, safetensors")
            )
        decorated: Callable[..., int] = wrapper
        for one in reversed([*map(_option, fields), *own]):  # the last one applied is listed first
            decorated = one(decorated)
        return decorated

    return decorate


def _option(name: str) -> Decorator:
    field = RunConfig.model_fields[name]
    flag, help_ = f"--{name.replace('_', '-')}", f"{field.description}{_default(RunConfig(), name)}"
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=None, help=help_)
    complete = value_completion(name)
    return click.option(flag, name, metavar=_metavar(name), help=help_, shell_complete=complete)


def _metavar(name: str) -> str:
    return "|".join(list_values(name)) or METAVARS.get(name, "NUMBER")


def _default(defaults: RunConfig, name: str) -> str:
    value = getattr(defaults, name)
    if value is None or value is False:
        return ""
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"  [default: {shown}]"


#: Gives a command the options of a new run.
with_run_options = with_options_of(FIELDS, with_init=True)
