"""The services of a Compose project, each in its container, started and watched as by Compose."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.support.compose.container import Container, Setting
from tests.support.compose.images import Image, image_of
from tests.support.compose.networks import Networks
from tests.support.compose.project import ROOT, Project, mounts, seconds
from tests.support.waiting import DEADLINE_SECONDS, until

#: What a container does whose own command is not wanted.
IDLE = ["sleep", "infinity"]

#: Seconds between two health checks, in place of the file's interval.
LOOK_SECONDS = 0.5


class Stack:
    """Containers of a project by name: that of the service, or with a number, as in worker-2."""

    def __init__(self, project: Project, directory: Path, names: Iterable[str]) -> None:
        self.project, self.directory = project, directory
        self._containers: dict[str, Container] = {}
        self.networks = Networks(project.declared("networks"))
        self._namespaces = {name: self._plugged_in(name) for name in names}

    def start(self, name: str) -> None:
        """Start the service with its own command."""
        service = self.service(name)
        self._containers[name] = self._container(name, self.command(name, service.get("command")))
        self._containers[name].start()

    def idle(self, name: str) -> None:
        """The service's container with nothing in it, to see what its health check says then."""
        self._containers[name] = self._container(name, IDLE)
        self._containers[name].start()

    def container(self, name: str) -> Container:
        return self._containers[name]

    def wait_until_healthy(self, name: str) -> None:
        """Fail when the service is not healthy by the time that Compose gives it, or ends."""
        check = self.service(name)["healthcheck"]
        patience = seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
        deadline = time.monotonic() + patience
        while not self.is_healthy(name):
            assert self.container(name).code is None, f"ended: {self.said(name)}"
            assert time.monotonic() < deadline, f"not healthy: {self.said(name)}"
            time.sleep(LOOK_SECONDS)

    def wait_until_unhealthy(self, name: str) -> None:
        """Fail when the health check goes on saying yes."""
        until(lambda: not self.is_healthy(name), f"{name} is unhealthy")

    def is_healthy(self, name: str) -> bool:
        """Run the service's health check once, in its container."""
        check = self.service(name)["healthcheck"]
        kind, *command = check["test"]
        if kind == "CMD-SHELL":
            command = ["/bin/sh", "-c", *command]
        return self.container(name).run(command, seconds(check["timeout"])) == 0

    def wait_until_completed(self, name: str) -> None:
        """Fail unless the one-shot service ends with success."""
        until(lambda: self.container(name).code is not None, f"{name} has ended")
        assert self.container(name).code == 0, self.said(name)

    def one_off(self, service: str, arguments: Sequence[str]) -> str:
        """`docker compose run --rm SERVICE ARGUMENTS`: what it prints."""
        name = f"{service}-{len(self._containers) + 100}"
        self._namespaces[name] = self._plugged_in(name)
        container = self._container(name, self.command(name, arguments))
        self._containers[name] = container
        container.start()
        assert container.process.wait(DEADLINE_SECONDS) == 0, f"{arguments}: {self.said(name)}"
        return container.out

    def stop(self, name: str) -> None:
        """The service's stop signal; fail when it does not end in the time that it has."""
        service = self.service(name)
        number = signal.Signals[service.get("stop_signal", "SIGTERM")]
        self.container(name).signal(number)
        self.container(name).process.wait(seconds(service["stop_grace_period"]))

    def close(self) -> None:
        """Nothing runs any more, and no network is left."""
        for container in self._containers.values():
            container.kill()
        self.networks.close()

    def service(self, name: str) -> dict[str, Any]:
        return self.project.services[re.sub(r"-\d+$", "", name)]

    def said(self, name: str) -> str:
        """Return the last output of the service and of its health checks."""
        container = self.container(name)
        checks = container.directory / "exec"
        checked = checks.read_text(errors="replace")[-2000:] if checks.exists() else ""
        return f"{name} ({container.code}): {container.out[-2000:]}{container.err[-4000:]}{checked}"

    def command(self, name: str, arguments: Sequence[str] | None) -> list[str]:
        """Return the container's command: the service's own words, or else those of the image."""
        service, image = self.service(name), self._image(name)
        if "entrypoint" in service:
            return [*service["entrypoint"], *(arguments or [])]
        return [*image.entrypoint, *(image.command if arguments is None else arguments)]

    def _image(self, name: str) -> Image:
        return image_of(self.service(name), self.directory)

    def _plugged_in(self, name: str) -> str:
        service = re.sub(r"-\d+$", "", name)
        return self.networks.plug_in(name, service, self.service(name)["networks"])

    def _container(self, name: str, command: Sequence[str]) -> Container:
        service, image = self.service(name), self._image(name)
        path = os.pathsep.join([*map(str, image.programs), os.defpath.lstrip(os.pathsep)])
        own = {key: str(value) for key, value in service.get("environment", {}).items()}
        setting = Setting(
            name=name,
            namespace=self._namespaces[name],
            user=service.get("user", image.user),
            environment={"PATH": path} | dict(image.environment) | own,
            working_directory=image.working_directory,
            read_only=service.get("read_only", False),
            tmpfs=service.get("tmpfs", []),
            bound=dict(image.bound) | self._bound(name, service),
            readable=[ROOT, Path(sys.prefix), Path(sys.base_prefix), *image.programs],
        )
        return Container(setting, self.directory / name, command)

    def _bound(self, name: str, service: dict[str, Any]) -> dict[str, Path]:
        """Secrets, volumes and host names, by the place where the container sees them."""
        hosts = self.networks.host_names(service["networks"], self.directory / f"{name}-hosts")
        bound = {"/etc/hosts": hosts}
        for secret in service.get("secrets", []):
            file = self.project.declared("secrets")[secret]["file"]
            bound[f"/run/secrets/{secret}"] = self.project.directory / file
        for config in service.get("configs", []):
            file = self.project.declared("configs")[config["source"]]["file"]
            bound[config["target"]] = ROOT / file
        for volume, target in mounts(service).items():
            bound[target] = self.directory / "volumes" / volume
            bound[target].mkdir(parents=True, exist_ok=True)
            uid, gid = service.get("user", self._image(name).user).split(":")
            os.chown(bound[target], int(uid), int(gid))
        return bound


def in_order(project: Project, ready: Callable[[str], None]) -> None:
    """Call `ready` for every service without a profile, after all that it depends on."""
    done: list[str] = []
    waiting = [name for name, service in project.services.items() if "profiles" not in service]
    while waiting:
        free = [
            name
            for name in waiting
            if set(project.services[name].get("depends_on", {})) <= set(done)
        ]
        assert free, f"{waiting} wait for each other"
        ready(free[0])
        done.append(free[0])
        waiting.remove(free[0])
