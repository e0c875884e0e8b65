"""docs/deployment.md: its commands name what exists, and those that can run here are run."""

from __future__ import annotations

import argparse
import re
import shlex
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.compose import product
from tests.support.compose.project import ROOT, load, variables
from tests.support.documents import shell_lines

TEXT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
LINES = shell_lines(TEXT)

#: A variable that is written into .env.
WRITTEN = re.compile(r"echo '(\w+)=.*' >> \.env")


def compose_calls() -> list[list[str]]:
    """Return the words after each `docker compose`, in blocks and in the text."""
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", TEXT)]
    called = [line for line in [*LINES, *inline] if line.startswith("docker compose ")]
    return [shlex.split(line)[2:] for line in called if "/" not in line.split()[2]]


def test_it_shows_the_commands_of_the_compose_files() -> None:
    for name in ("docker-compose.yml", "compose.worker.yml"):
        head = re.findall(r"^#   (\S.*)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert head
        shown = [line.replace(" --build", "") for line in LINES]
        assert [line for line in head if line not in shown and " down" not in line] == []


@pytest.mark.parametrize("words", compose_calls(), ids=" ".join)
def test_a_call_of_compose_names_services_files_and_options_that_exist(words: list[str]) -> None:
    called = _compose().parse_args(words)
    services = load(called.file, environment={"REDIS_TLS_HOST": "x"}).services
    profiles = {name for service in services.values() for name in service.get("profiles", [])}

    assert {called.profile} <= profiles | {None}
    assert {called.scale.partition("=")[0]} <= set(services) | {""}
    assert set(called.services) <= set(services)
    assert not called.arguments or product.objection(called.arguments) is None


def _compose() -> argparse.ArgumentParser:
    """Build a parser for the part of `docker compose` that the document uses."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--file", default="docker-compose.yml")
    parser.add_argument("--profile")
    parser.set_defaults(scale="", services=[], arguments=[])
    commands = parser.add_subparsers(required=True)
    for name in ("up", "down", "stop", "build"):
        command = commands.add_parser(name)
        command.add_argument("services", nargs="*")
        for option in ("--detach", "--build", "--no-recreate", "--volumes"):
            command.add_argument(option, action="store_true")
        command.add_argument("--scale", default="")
    run = commands.add_parser("run")
    run.add_argument("--rm", action="store_true", required=False)
    run.add_argument("services", nargs="?", default=[], type=lambda name: [name])
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    other = commands.add_parser("exec")
    other.add_argument("services", nargs="?", default=[], type=lambda name: [name])
    other.add_argument("foreign", nargs=argparse.REMAINDER)
    commands.add_parser("cp").add_argument("paths", nargs=2)
    return parser


def test_every_file_that_a_command_takes_exists() -> None:
    files = [*re.findall(r"\b(deploy/[\w./*-]+)", " ".join(LINES)), ".env.example"]
    assert len(files) > 4
    for file in files:
        assert list(ROOT.glob(file)), file


def test_every_unit_that_is_enabled_and_every_deployment_that_is_scaled_exists() -> None:
    units = re.findall(r"systemctl enable --now ([\w@-]+)", TEXT)
    for unit in units:
        assert (ROOT / f"deploy/systemd/{re.sub('@.*', '@', unit)}.service").exists()
    for name in re.findall(r"kubectl scale deployment ([\w-]+)", TEXT):
        manifest = ROOT / f"deploy/kubernetes/{name.removeprefix('tapeworks-')}.yaml"
        assert f"name: {name}\n" in manifest.read_text(encoding="utf-8")


def test_every_variable_that_is_written_is_read_by_the_files() -> None:
    read = variables("docker-compose.yml", "compose.worker.yml", "compose.tls.yml")
    written = {match[1] for line in LINES if (match := WRITTEN.fullmatch(line))}
    assert {"REDIS_TLS_ADDRESS", "REDIS_TLS_HOST"} <= written
    assert written - {"COMPOSE_FILE"} <= set(read)


def test_every_secret_that_is_named_is_made() -> None:
    named = set(re.findall(r"--from-file=secrets/(\w+)", TEXT))
    [copied] = set(re.findall(r"secrets/\{(.*?)\}", TEXT))  # for other machines and for Slurm
    worker = load("compose.worker.yml", environment={"REDIS_TLS_HOST": "x"})

    assert named <= product.SECRET_FILES | product.CERTIFICATES | {"database_ca"}
    assert set(copied.split(",")) == set(worker.declared("secrets"))


def test_the_certificate_is_made_as_shown_and_vouches_for_the_address(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for line in LINES[LINES.index(next(x for x in LINES if x.startswith("openssl"))) :][:3]:
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, capture_output=True)
    secrets = {path.name: path for path in (tmp_path / "secrets").iterdir()}

    assert set(secrets) == product.CERTIFICATES
    assert {path.stat().st_mode & 0o777 for path in secrets.values()} == {0o444}
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(secrets["redis_certificate"], secrets["redis_key"])
    client = ssl.create_default_context(cafile=str(secrets["redis_ca"]))
    assert _shake_hands(client, server, "10.0.0.5") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(client, server, "10.0.0.6")


def test_the_databases_certificate_is_made_as_shown_for_the_address_of_the_urls(
    tmp_path: Path,
) -> None:
    [line] = [line for line in LINES if "database_key" in line and line.startswith("openssl")]
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, capture_output=True)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "database_ca", tmp_path / "database_key")
    client = ssl.create_default_context(cafile=str(tmp_path / "database_ca"))
    [address] = re.findall(r"postgresql://tapeworks@([\d.]+)/tapeworks\?sslmode=verify-full", TEXT)
    assert _shake_hands(client, server, address) == "TLSv1.3"


def test_the_requirements_that_are_installed_by_hand_are_those_of_the_image() -> None:
    installs = [line.partition("pip ")[2] for line in LINES if "/pip install" in line]
    image = re.findall(r"^RUN pip (install .*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert installs == [step.replace(" --no-cache-dir", "") for step in image[:2]]


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> str | None:
    """The version of TLS that the two agree on, in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname=host),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()
