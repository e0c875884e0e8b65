"""The product as those who deploy it see it: commands, options, variables, secret files."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tapeworks.cli.group import cli
from tapeworks.model.settings import Settings
from tests.support.compose.project import ROOT

ROOMS = ("model", "wire", "workers", "scheduler", "storage", "tapeworks")

#: What `tapeworks secrets` makes.
SECRET_FILES = {
    "redis_users.acl",
    "redis_scheduler_password",
    "redis_worker_password",
    "redis_flower_password",
    "redis_web_password",
    "database_password",
    "database_reader_password",
    "database_superuser_password",
    "signing_key",
    "web_token",
}

#: What an operator makes for TLS, as the documents show.
CERTIFICATES = {"redis_certificate", "redis_key", "redis_ca"}


def made_secrets(directory: Path) -> Path:
    """A new directory `secrets` in this one, made as the documents say."""
    head = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    [shown] = re.findall(
        r"^#   (mkdir .*&&) docker run .* tapeworks:local (secrets /secrets)$", head, re.MULTILINE
    )
    line = f"{shown[0]} {sys.executable} -m tapeworks {shown[1].replace('/', '')}"
    code = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-c", line], cwd=directory, env=code, check=True, capture_output=True)
    return directory / "secrets"


@functools.cache
def variables() -> frozenset[str]:
    """The environment variables that the product reads."""
    return frozenset(setting.variable for setting in Settings.list_all())


def objection(words: Sequence[str]) -> str | None:
    """Return the objection of `tapeworks` to being called with these words, or None."""
    command: click.Command = cli
    context = click.Context(cli, info_name="tapeworks")
    rest = list(words)
    try:
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, rest)
            if found is None:
                return f"there is no command {name}"
            context = click.Context(found, parent=context, info_name=name)
            command = found
        command.make_context(context.info_name, rest)
    except (click.ClickException, click.exceptions.Exit) as error:
        return str(getattr(error, "message", error)) or "only its help is shown"
    return None
