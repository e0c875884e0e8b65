"""The options of `train` and `submit`: one for each field of the run's configuration."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from model.config import RunConfig, run_config
from model.errors import ConfigurationError
from tapeworks.errors import UsageError

#: Fields that are a flag of their own; every other option takes a value.
_FLAGS = {name for name, field in RunConfig.model_fields.items() if field.annotation is bool}

#: Where each field's text on the command line is read by the configuration itself.
Given = dict[str, Any]


def with_run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command one option per configuration field.

    The command gets them as one keyword argument, `given`, with those that the user wrote; what is
    not written is left to the file of `--config` and to the defaults.
    """

    def wrapper(**arguments: Any) -> int:
        options = {name: arguments.pop(name) for name in RunConfig.model_fields}
        given = {name: value for name, value in options.items() if value is not None}
        return command(given=given, **arguments)

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "given"]
    signature = inspect.Signature([*map(_parameter, RunConfig.model_fields), *own])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
    return wrapper


def configuration(given: Given, file: Path | None) -> RunConfig:
    """The configuration from flags, then the file, then the defaults."""
    return run_config((read_file(file) if file else {}) | given)


def read_file(path: Path) -> Given:
    """A YAML or TOML file of settings. Raises `UsageError` or `ConfigurationError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"The configuration {path} cannot be read: {reason}.") from error
    if path.suffix.lower() not in {".toml", ".yaml", ".yml"}:
        raise UsageError(f"Expected a configuration in .toml, .yaml or .yml. Received: {path}.")
    try:
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be parsed: {error}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected settings by name, such as images: 50.")
    return {str(name).replace("-", "_"): value for name, value in values.items()}


def _parameter(name: str) -> inspect.Parameter:
    field = RunConfig.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    help_ = f"{field.description}{_default(field.default)}"
    kind: Any = bool | None if name in _FLAGS else str | None
    option = typer.Option(
        flag, help=help_, show_default=False, metavar=None if name in _FLAGS else _metavar(name)
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _metavar(name: str) -> str:
    choices = getattr(RunConfig.model_fields[name].annotation, "__members__", None)
    if choices:
        return "|".join(member.value for member in choices.values())
    return {
        "classes": "3,6",
        "kernel_sizes": "3,5,7",
        "data_dir": "DIRECTORY",
        "dataset": "NAME",
    }.get(name, "NUMBER")


def _default(value: Any) -> str:
    if value is None:
        return ""
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f" [default: {shown}]"
