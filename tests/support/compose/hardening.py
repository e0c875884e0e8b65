"""Checks that the services of a Compose project have the least they need, and time to stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tapeworks.workers.supervisor import DRAIN_SECONDS
from tests.support.compose.project import Project, seconds, size, texts
from tests.support.compose.wiring import is_ours


def least_privileges(project: Project) -> Iterator[str]:
    wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    refused = {"privileged", "cap_add", "env_file", "network_mode", "pid", "devices"}
    for name, service in project.services.items():
        for key, value in wanted.items():
            if service.get(key) != value:
                yield f"{name} has {key} {service.get(key)}"
        for key in refused & set(service):
            yield f"{name} has {key}"
        if not is_ours(service) and str(service.get("user", "0")).startswith("0"):
            yield f"{name} runs as root"
        if missing := {"cpus", "memory", "pids"} - set(_limits(service)):
            yield f"{name} has no limit of {sorted(missing)}"
        if "max-size" not in service.get("logging", {}).get("options", {}):
            yield f"{name}'s log grows for ever"


def only_meant_ports_are_published(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        for port in service.get("ports", []):
            host, _, inside = port.rpartition(":")
            meant = {"redis": inside == "6380" and ":" in host, "flower": host[:9] == "127.0.0.1"}
            if not meant.get(name):
                yield f"{name} publishes {port}"
        if service.get("ports") and not _leads_out(project, service):
            yield f"{name} publishes a port on networks that are internal"


def networks_are_apart(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        if (
            {"redis", "postgres"} & {name}
            and "ports" not in service
            and _leads_out(project, service)
        ):
            yield f"{name} is on a network that leads out"
        commands = service.get("command", [""])
        shared = {other for other in project.services if _meet(project, name, other)}
        if commands[0] == "worker" and "postgres" in shared:
            yield f"{name} reaches the database"


def images_have_versions(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        tag = service["image"].partition(":")[2]
        if tag in {"", "latest"} or (tag == "local") != is_ours(service):
            yield f"{name} has the image {service['image']}"


def there_is_time_to_stop(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        grace = seconds(service.get("stop_grace_period", "0s"))
        role = service.get("command", [""])[0]
        if role in {"worker", "scheduler"} and grace <= DRAIN_SECONDS:
            yield f"{name} has {grace} s to stop, and needs {DRAIN_SECONDS}"


def redis_keeps_what_it_is_given(project: Project) -> Iterator[str]:
    if "redis" not in project.services:
        return
    service = project.services["redis"]
    words = service["command"]
    options = {
        word: words[place + 1 : place + 2] for place, word in enumerate(words) if word[:2] == "--"
    }
    wanted = {"--maxmemory-policy": "noeviction", "--save": "", "--appendonly": "no"}
    for option, value in wanted.items():
        if options.get(option) != [value]:
            yield f"redis has {option} {options.get(option)}"
    if "--aclfile" not in options:
        yield "redis asks nobody for a password"
    share = float(options.get("--maxmemory-clients", ["inf%"])[0].removesuffix("%")) / 100
    if size(options["--maxmemory"][0]) * (1 + share) >= size(_limits(service)["memory"]):
        yield "redis and its clients may hold more than its container"
    if "--client-output-buffer-limit" not in options:
        yield "redis keeps whatever a client does not read"


def nothing_secret_is_written_down(project: Project) -> Iterator[str]:
    for name, service in project.services.items():
        for text in texts(service):
            if re.search(r"://[^/@\s]*:[^/@\s]*@|--requirepass|PGPASSWORD|://[^@/]+:[^@/]+@", text):
                yield f"{name} is told a secret"
        for variable in service.get("environment", {}):
            if re.search(r"PASSWORD$|KEY$|TOKEN$", variable):
                yield f"{name} has a secret in {variable}"


def _limits(service: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = service.get("deploy", {}).get("resources", {}).get("limits", {})
    return limits


def _leads_out(project: Project, service: dict[str, Any]) -> bool:
    networks = [project.declared("networks").get(name) or {} for name in service["networks"]]
    return not all(network.get("internal") for network in networks)


def _meet(project: Project, name: str, other: str) -> bool:
    services = project.services
    return bool(set(services[name]["networks"]) & set(services[other]["networks"]))


RULES = (
    least_privileges,
    only_meant_ports_are_published,
    networks_are_apart,
    images_have_versions,
    there_is_time_to_stop,
    redis_keeps_what_it_is_given,
    nothing_secret_is_written_down,
)
