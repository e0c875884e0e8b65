"""Every variable of ours in the environment: what it is for, its default, and how it is read."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, overload

from tapeworks.model.environment import read_path, variable
from tapeworks.model.errors import VariableUnreadable

#: What all of our variables begin with.
PREFIX = "TAPEWORKS_"

#: The words for yes and for no.
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

#: The highest number of a port.
HIGHEST_PORT = 65535

#: The levels that can be asked for, and with each what is above it.
LEVELS = ("debug", "info", "warning", "error")


class LogFormat(StrEnum):
    """The format in which lines are written."""

    TEXT = "text"
    JSON = "json"


_Value = TypeVar("_Value")


class Setting(Generic[_Value]):
    """One variable, named after its attribute and read when it is asked for.

    So a bad value stops those commands only that need it.
    """

    variable: str

    def __init__(
        self,
        meaning: str,
        default: _Value,
        parse: Callable[[str, str], _Value],
        *,
        is_secret: bool = False,
    ) -> None:
        """`parse` takes the variable's name and its value, which is not empty."""
        self.meaning, self.default, self.is_secret = meaning, default, is_secret
        self._parse = parse

    def __set_name__(self, owner: type[Settings], name: str) -> None:
        self.variable = PREFIX + name.upper()

    @overload
    def __get__(self, settings: None, owner: type[Settings]) -> Self: ...
    @overload
    def __get__(self, settings: Settings, owner: type[Settings]) -> _Value: ...
    def __get__(self, settings: Settings | None, owner: type[Settings]) -> Self | _Value:
        if settings is None:
            return self
        given = self.read(settings)
        return self.default if given is None else given

    def read(self, settings: Settings) -> _Value | None:
        """Return the value that is set, None without one. Raises `VariableUnreadable`."""
        value = variable(settings.environment, self.variable)
        return None if value is None else self._parse(self.variable, value)


def _text(_: str, value: str) -> str:
    return value


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise VariableUnreadable(f"Expected {name} as a number. Received: {value}.")
    return int(value)


def _port(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) > HIGHEST_PORT:
        raise VariableUnreadable(
            f"Expected {name} from 0 to {HIGHEST_PORT}. Received: {value}, which is no port."
        )
    return int(value)


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def parse(name: str, value: str) -> str:
        if value.lower() in choices:
            return value.lower()
        expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise VariableUnreadable(f"Expected {name} as {expected}. Received: {value.lower()}.")

    return parse


def _truth(name: str, value: str) -> bool:
    if value.lower() not in {*TRUE, *FALSE}:
        raise VariableUnreadable(f"Expected {name} as 1 or 0. Received: {value}.")
    return value.lower() in TRUE


class Settings:
    """The variables of an environment; an empty or blank one counts as not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    @classmethod
    def list_all(cls) -> list[Setting[Any]]:
        """Return every setting."""
        return [one for one in vars(cls).values() if isinstance(one, Setting)]

    redis_url = Setting(
        "the Redis between schedulers and workers", "redis://127.0.0.1:6379/0", _text
    )
    redis_password_file = Setting[Path | None](
        "a file with the password of that Redis", None, read_path, is_secret=True
    )
    database_url = Setting[str | None](
        "the history: an SQLite file, or a PostgreSQL; else a file in the user's data directory",
        None,
        _text,
    )
    database_password_file = Setting[Path | None](
        "a file with the password of that database", None, read_path, is_secret=True
    )
    data_dir = Setting[Path | None](
        "the directory of MNIST's and CIFAR-10's files", None, read_path
    )
    signing_key_file = Setting[Path | None](
        "a file with the key that schedulers and workers share", None, read_path, is_secret=True
    )
    networks = Setting[Path | None](
        "a directory of Python files: users' networks that workers may run", None, read_path
    )
    accept_networks = Setting(
        "1 lets workers run any user's network that is signed with the signing key", False, _truth
    )
    metrics_port = Setting("the port at which Prometheus finds metrics; 0: none", 0, _port)
    metrics_host = Setting("the address at which it finds them", "127.0.0.1", _text)
    log_format = Setting[str]("the format of log lines", LogFormat.TEXT, _one_of(*LogFormat))
    log_level = Setting[str | None](
        "the lowest level that is logged; worker processes log warnings without it",
        None,
        _one_of(*LEVELS),
    )
    supervisor_pid = Setting[int | None]("set by a supervisor for its workers", None, _number)
    readiness_descriptor = Setting[int | None](
        "set by a supervisor: where its worker says that it is ready", None, _number
    )


#: All that some part of Tapeworks reads, tests included.
_KNOWN = {one.variable for one in Settings.list_all()} | {f"{PREFIX}TEST_DATABASE_URL"}


def find_unread(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables of ours that nothing reads, each with the one that may be meant."""
    names = sorted(name for name in environment if name.startswith(PREFIX) and name not in _KNOWN)
    return {name: _nearest(name) for name in names}


def _nearest(name: str) -> str | None:
    ends = {one.removeprefix(PREFIX): one for one in _KNOWN}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), ends, n=1, cutoff=0.8)
    return ends[near[0]] if near else None
