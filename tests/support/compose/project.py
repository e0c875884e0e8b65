"""Compose files as Compose reads them: merged, and their variables replaced."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]

#: `${NAME}`, `${NAME:-default}`, `${NAME:?what is wrong}`; `$$` is a dollar.
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")

#: Lists that an override replaces; it adds to all others.
REPLACED = {"command", "entrypoint", "test"}


@dataclass(frozen=True, kw_only=True)
class Project:
    """The project as Compose would work with it."""

    content: dict[str, Any]
    directory: Path = ROOT  #: where relative paths begin

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = self.content["services"]
        return services

    def declared(self, kind: str) -> dict[str, Any]:
        """The `volumes`, `networks` or `secrets` of the file."""
        declared: dict[str, Any] = self.content.get(kind, {})
        return declared


def load(
    *names: str, environment: Mapping[str, str] | None = None, directory: Path = ROOT
) -> Project:
    """These files of the repository, each over the one before it."""
    contents = [
        replaced(yaml.safe_load((ROOT / name).read_text(encoding="utf-8")), environment or {})
        for name in names
    ]
    return Project(content=functools.reduce(merged, contents), directory=directory)


def variables(*names: str) -> dict[str, str | None]:
    """The variables that these files read, each with its default, if it has one."""
    found: dict[str, str | None] = {}
    for name in names:
        for match in VARIABLE.finditer((ROOT / name).read_text(encoding="utf-8")):
            if match["name"]:
                found[match["name"]] = match["text"] if match["kind"] == "-" else None
    return found


def replaced(value: Any, environment: Mapping[str, str]) -> Any:
    """The value with its variables replaced, as far down as it goes."""
    if isinstance(value, dict):
        return {key: replaced(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, environment) for inner in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _replacement(match, environment), value)
    return value


def merged(base: Any, over: Any, key: str = "") -> Any:
    """Return what Compose makes of a file and its override."""
    if isinstance(base, dict) and isinstance(over, dict):
        both = {name: merged(base.get(name), value, name) for name, value in over.items()}
        return base | both
    if isinstance(base, list) and isinstance(over, list) and key not in REPLACED:
        return base + [item for item in over if item not in base]
    return over


def seconds(duration: str) -> float:
    """A duration as Compose writes it, such as 1m30s."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return float(sum(int(number) * units[unit] for number, unit in parts))


def size(memory: str) -> float:
    """Bytes of a size as Compose or Redis writes it, such as 512m or 512mb."""
    number, unit = re.fullmatch(r"(\d+)([kmg])b?", memory).groups()  # type: ignore[union-attr]
    return int(number) * 1024.0 ** ("kmg".index(unit) + 1)


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """The named volumes of a service and where they are mounted."""
    return dict(volume.split(":")[:2] for volume in service.get("volumes", []))


def texts(service: Mapping[str, Any]) -> Iterator[str]:
    """All that a service is told: its command, its variables and its health check."""
    yield from service.get("entrypoint", [])
    yield from service.get("command", [])
    yield from map(str, service.get("environment", {}).values())
    yield from service.get("healthcheck", {}).get("test", [])


def _replacement(match: re.Match[str], environment: Mapping[str, str]) -> str:
    name = match["name"]
    if name is None:
        return "$"
    value = environment.get(name, "")
    if value or match["kind"] == "-":
        return value or match["text"]
    assert match["kind"] != "?", f"{name}: {match['text']}"
    return value
