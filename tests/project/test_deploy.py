"""The units, manifests and batch scripts: what they call exists, and a linter takes them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tapeworks.web.options import DEFAULT_PORT
from tests.support.compose import product
from tests.support.compose.project import ROOT, load, seconds

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
ENVIRONMENTS = sorted((ROOT / "deploy" / "systemd").glob("*.env.example"))
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
SLURM = ROOT / "deploy" / "slurm" / "worker.sbatch"

#: Where the documents have Tapeworks installed.
INSTALLED = "/opt/tapeworks/bin/tapeworks"

#: How exposed a unit may be, of 10 (a service with everything allowed has 9.6).
MOST_EXPOSED = 2.0

every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)


def settings(unit: Path, key: str) -> list[str]:
    """The values of a unit's setting, with the instance 2."""
    text = unit.read_text(encoding="utf-8").replace("%i", "2")
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods of the manifests, each with its deployment's name."""
    for manifest in MANIFESTS:
        for part in yaml.safe_load_all(manifest.read_text(encoding="utf-8")):
            if part["kind"] == "Deployment":
                yield part["metadata"]["name"], part["spec"]["template"]["spec"]


def containers() -> list[tuple[str, dict[str, Any]]]:
    """All containers of all pods, each with its pod's name."""
    return [
        (name, container)
        for name, pod in pods()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]


def grace_period(service: str) -> float:
    """Seconds that Compose gives this service to stop in."""
    return seconds(load("docker-compose.yml").services[service]["stop_grace_period"])


def started(line: str) -> list[list[str]]:
    """The commands of such a line, one after the other."""
    words = shlex.split(line)
    if words[:2] != ["/bin/sh", "-c"]:
        return [words]
    [script] = words[2:]
    first, second = script.split(" && exec ")
    return [shlex.split(first), shlex.split(second)]


@every_unit
def test_a_unit_calls_what_exists_with_variables_and_secrets_that_exist(unit: Path) -> None:
    [line] = settings(unit, "ExecStart")
    commands = started(line)
    variables = dict(
        pair.split("=") for line in settings(unit, "Environment") for pair in line.split()
    )
    credentials = dict(line.split(":") for line in settings(unit, "LoadCredential"))
    ours = {name for name in variables if name.startswith("TAPEWORKS_")}

    assert {command[0] for command in commands} == {INSTALLED}
    assert [product.objection(command[1:]) for command in commands] == [None] * len(commands)
    assert ours <= product.variables()
    used = {variables[name] for name in ours} | set(re.findall(r"%d/\w+", line))
    assert used == {f"%d/{name}" for name in credentials}
    assert set(credentials) <= product.SECRET_FILES
    assert {Path(path).name for path in credentials.values()} == set(credentials)


@every_unit
def test_a_unit_has_as_long_to_stop_as_its_container(unit: Path) -> None:
    service = unit.name.removeprefix("tapeworks-").partition(".")[0].removesuffix("@")
    assert settings(unit, "TimeoutStopSec") == [f"{grace_period(service):.0f}"]
    assert settings(unit, "KillMode") == ["mixed"]


@every_unit
def test_systemd_takes_a_unit_and_finds_it_confined(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("There is no systemd-analyze.")
    copy = tmp_path / unit.name.replace("@", "@2")
    text = unit.read_text(encoding="utf-8")
    copy.write_text(text.replace(INSTALLED, str(Path(sys.prefix) / "bin" / "tapeworks")))

    assert _complaints(analyze, "verify", str(copy)) == ""
    said = _complaints(analyze, "security", "--offline=true", "--no-pager", str(copy))
    exposure = re.search(r"exposure level for \S+: (\d+\.\d)", said)
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSED
    copy.write_text(re.sub(r"(?<=^ExecStart=)\S+", "/nowhere", text, flags=re.MULTILINE))
    assert "not executable" in _complaints(analyze, "verify", str(copy))


def test_an_environment_file_has_variables_that_the_product_reads_and_nothing_secret() -> None:
    for file in ENVIRONMENTS:
        text = file.read_text(encoding="utf-8")
        names = set(re.findall(r"^#?(TAPEWORKS_\w+)=", text, re.MULTILINE))
        assert "TAPEWORKS_REDIS_URL" in names
        assert names <= product.variables()
        assert not re.search(r"://[^/\s]*:[^/@\s]*@", text)
    assert {file.name for file in ENVIRONMENTS} == {
        Path(name).name + ".example" for unit in UNITS for name in settings(unit, "EnvironmentFile")
    }


def test_a_pod_s_containers_call_what_exists_with_variables_that_exist() -> None:
    commands = {container["args"][0] for _, container in containers()}
    assert commands == {"db", "scheduler", "worker", "web"}
    for name, container in containers():
        assert product.objection(container["args"]) is None, name
        assert {variable["name"] for variable in container["env"]} <= product.variables()
        assert "livenessProbe" not in container, "an outage of Redis would end it"
        if container["args"][0] == "web":
            assert container["readinessProbe"]["httpGet"] == {
                "path": "/login",
                "port": DEFAULT_PORT,
            }
        elif container["args"][0] != "db":
            words = container["readinessProbe"]["exec"]["command"]
            assert words == ["tapeworks", "health", container["args"][0]]
            assert product.objection(words[1:]) is None


def test_a_pod_s_secrets_are_those_that_the_documents_put_there() -> None:
    documents = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for name, container in containers():
        [command] = re.findall(rf"kubectl create secret generic {name} (.*)", documents)
        put = set(re.findall(r"--from-file=secrets/(\w+)", command))
        text = yaml.safe_dump(container) + _config_map(name)
        assert set(re.findall(r"/run/secrets/tapeworks/(\w+)", text)) <= put


def test_a_pod_has_the_least_that_it_needs_and_time_to_stop() -> None:
    for name, pod in pods():
        service = name.removeprefix("tapeworks-")
        assert pod["terminationGracePeriodSeconds"] == grace_period(service)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
    for _, container in containers():
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_a_worker_s_pod_reaches_redis_and_name_servers_alone() -> None:
    parts = yaml.safe_load_all((ROOT / "deploy/kubernetes/settings.yaml").read_text())
    [policy] = [part["spec"] for part in parts if "egress" in part.get("spec", {})]
    labels = [
        part["spec"]["template"]["metadata"]["labels"]
        for part in yaml.safe_load_all((ROOT / "deploy/kubernetes/worker.yaml").read_text())
    ]
    opened = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    redis = yaml.safe_load(_config_map("tapeworks-worker"))["data"]["TAPEWORKS_REDIS_URL"]

    assert policy["podSelector"]["matchLabels"] in labels
    assert opened == {53, urlsplit(redis).port}


def test_the_batch_script_reads_no_secret_but_a_worker_s() -> None:
    text = SLURM.read_text(encoding="utf-8")
    used = set(re.findall(r"\$SECRETS/(\w+)", text))
    assert used == {"redis_ca", "redis_worker_password", "signing_key"}
    assert "/secrets/" not in text


def test_the_batch_script_calls_what_exists_with_variables_that_exist() -> None:
    text = SLURM.read_text(encoding="utf-8")
    [call] = re.findall(r'/tapeworks" (worker .*)$', text, re.MULTILINE)
    cores = re.findall(r"^#SBATCH --cpus-per-task=(\d+)$", text, re.MULTILINE)[0]
    words = shlex.split(call.replace("$SLURM_CPUS_PER_TASK", cores))

    assert product.objection(words) is None
    assert set(re.findall(r"export (TAPEWORKS_\w+)=", text)) <= product.variables()
    assert subprocess.run(["bash", "-n", str(SLURM)]).returncode == 0


def _complaints(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ended.stdout + ended.stderr


def _config_map(name: str) -> str:
    parts = yaml.safe_load_all((ROOT / "deploy/kubernetes/settings.yaml").read_text())
    [found] = [
        part for part in parts if part["kind"] == "ConfigMap" and part["metadata"]["name"] == name
    ]
    return yaml.safe_dump(found)
