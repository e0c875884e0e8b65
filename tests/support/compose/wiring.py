"""Checks that the services of a Compose project find each other, and what they name exists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.support.compose import product
from tests.support.compose.project import Project, mounts, seconds, texts

#: Where the services of other people's images listen, and their variables.
PORTS = {"postgres": "5432"}
FOREIGN_VARIABLES = {"POSTGRES_USER", "POSTGRES_PASSWORD_FILE"}
FOREIGN_VARIABLES |= {"OWNER_PASSWORD_FILE", "READER_PASSWORD_FILE"}  # of deploy/postgresql

#: A secret, as a service sees it.
SECRET = re.compile(r"/run/secrets/(\w+)")


def only_declared_names(project: Project) -> Iterator[str]:
    for kind in ("volumes", "networks", "secrets", "configs"):
        used = set[str]()
        for name, service in project.services.items():
            names = set(mounts(service)) if kind == "volumes" else _named(service.get(kind, []))
            used |= names
            for missing in names - set(project.declared(kind)):
                yield f"{name} names {missing}, which is none of the {kind}"
        for idle in set(project.declared(kind)) - used:
            yield f"{idle} of the {kind} is not used"


def _named(entries: Sequence[Any]) -> set[str]:
    return {entry["source"] if isinstance(entry, dict) else entry for entry in entries}


def only_secrets_that_are_made(project: Project) -> Iterator[str]:
    for name, secret in project.declared("secrets").items():
        file = str(secret.get("file", ""))
        if file.removeprefix("./secrets/") not in product.SECRET_FILES | product.CERTIFICATES:
            yield f"{name}: nobody makes {file}"


def each_service_reads_its_own_secrets(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        read = set(SECRET.findall(" ".join(texts(service))))
        given = set(service.get("secrets", []))
        for missing in read - given:
            yield f"{name} reads the secret {missing}, which it is not given"
        for idle in given - read:
            yield f"{name} is given the secret {idle}, which it does not read"


def commands_exist(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        own = service["command"] if is_ours(service) and "entrypoint" not in service else None
        if own is not None and (objection := product.objection(own)):
            yield f"{name}: {objection}"
        test = service.get("healthcheck", {}).get("test", [])
        if test[:2] == ["CMD", "tapeworks"] and (objection := product.objection(test[2:])):
            yield f"{name}'s health check: {objection}"


def variables_are_read(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        known = product.variables() if is_ours(service) else FOREIGN_VARIABLES
        for variable in set(service.get("environment", {})) - known:
            yield f"{name} sets {variable}, which nobody reads"


def addresses_are_reached(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        for address in _addresses(service):
            other = project.services.get(str(address.hostname))
            if other is None:
                if address.scheme != "rediss":
                    yield f"{name} reaches for {address.hostname}, which is no service"
                continue
            if not set(other["networks"]) & set(service["networks"]):
                yield f"{name} shares no network with {address.hostname}"
            if str(address.port) != _port(str(address.hostname), other):
                yield f"{name} reaches for {address.hostname} at port {address.port}"


def what_is_needed_is_waited_for(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        for address in _addresses(service):
            host = str(address.hostname)
            if host in project.services and host not in _before(project, name):
                yield f"{name} does not wait for {host}"
        for other, how in service.get("depends_on", {}).items():
            if other not in project.services:
                yield f"{name} waits for {other}, which is no service"
            elif how["condition"] not in _fitting(project.services[other]):
                yield f"{name} waits until {other} has {how['condition']}"


def the_database_is_migrated_first(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        if service.get("command", [""])[0] == "scheduler" and not any(
            project.services[other].get("command") == ["db", "upgrade"]
            for other in _before(project, name)
            if other in project.services
        ):
            yield f"{name} does not wait for the migration"


def health_is_asked_for(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        if service["restart"] == "no":
            continue
        if "healthcheck" not in service:
            yield f"{name} has no health check"
            continue
        check, role = service["healthcheck"], service.get("command", [""])[0]
        if role in {"scheduler", "worker"} and check["test"][1:] != ["tapeworks", "health", role]:
            yield f"{name}'s health check does not ask for a {role}"
        if seconds(check["timeout"]) > seconds(check["interval"]):
            yield f"{name}'s health checks overlap"


def is_ours(service: dict[str, Any]) -> bool:
    """Return whether the service is built from the repository."""
    return "build" in service


def _addresses(service: dict[str, Any]) -> list[Any]:
    values = map(str, service.get("environment", {}).values())
    return [urlsplit(value) for value in values if "://" in value]


def _port(name: str, service: dict[str, Any]) -> str | None:
    words = service.get("command", [])
    return words[words.index("--port") + 1] if "--port" in words else PORTS.get(name)


def _before(project: Project, name: str) -> set[str]:
    """All that has to be up before the service is started."""
    direct = set(project.services.get(name, {}).get("depends_on", {}))
    return direct | {far for near in direct for far in _before(project, near)}


def _fitting(service: dict[str, Any]) -> set[str]:
    """The conditions that make sense for a service which others wait for."""
    if service["restart"] == "no":
        return {"service_completed_successfully"}
    return {"service_healthy"} if "healthcheck" in service else set()


RULES = (
    only_declared_names,
    only_secrets_that_are_made,
    each_service_reads_its_own_secrets,
    commands_exist,
    variables_are_read,
    addresses_are_reached,
    what_is_needed_is_waited_for,
    the_database_is_migrated_first,
    health_is_asked_for,
)
