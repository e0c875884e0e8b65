"""The environment: variables that nobody reads, and files with secrets."""

from __future__ import annotations

import difflib
import functools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tapeworks.doctor.findings import Finding, looked, ok, problem, warning
from tapeworks.doctor.threads import THREAD_VARIABLES
from tapeworks.model.environment import path_variable, variable
from tapeworks.model.flags import ignored_variables
from tapeworks.service_options import PORT, PORT_VARIABLE
from tapeworks.workers.crash_points import VARIABLE as CRASH_POINT
from tapeworks.workers.foreign import foreign
from tapeworks.workers.logs import log_settings
from tapeworks.workers.signing import VARIABLE as SIGNING_KEY
from tapeworks.workers.signing import signer

LABEL = "settings"

#: What all of our variables begin with.
PREFIX = "TAPEWORKS_"

#: Those that name a file with a secret in it.
SECRET_FILES = {"REDIS_PASSWORD_FILE", "DATABASE_PASSWORD_FILE", "SIGNING_KEY_FILE"}

#: All that some part of Tapeworks reads, tests included.
KNOWN = SECRET_FILES | {"REDIS_URL", "DATABASE_URL", "DATA_DIR", "LOG_LEVEL", "LOG_FORMAT"}
KNOWN |= {"METRICS_PORT", "METRICS_HOST", "CRASH_AT", "TEST_DATABASE_URL"}
KNOWN |= {"SUPERVISOR_PID", "READINESS_DESCRIPTOR"}

#: Where containers have their secrets, readable by all of the one user that they have.
CONTAINER_SECRETS = Path("/run/secrets")


def check_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Report what is set in vain, and secrets that cannot be read, or by too many."""
    ours = {name.removeprefix(PREFIX) for name in environment if name.startswith(PREFIX)}
    wrong = [_unknown(name) for name in sorted(ours - KNOWN)]
    wrong += looked(LABEL, lambda: _drill(environment))
    for name in sorted(SECRET_FILES):
        check = functools.partial(_secret_file, environment, PREFIX + name)
        wrong += looked(LABEL, check)
    wrong += looked(LABEL, lambda: _values(environment))
    yield from wrong
    if not wrong:
        yield ok(LABEL, _count(len(ours)))
    yield from _foreign(environment)


def _foreign(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Name what another program may need, so that nobody looks for an effect of it here."""
    names = {*foreign(environment), *ignored_variables(environment)} - {*THREAD_VARIABLES}
    if names:
        yield ok(LABEL, f"set for other programs, and ignored here: {', '.join(sorted(names))}")


def _count(count: int) -> str:
    if not count:
        return f"no {PREFIX}… variable in the environment"
    variables = "variable" if count == 1 else "variables"
    return f"{count} {PREFIX}… {variables} in the environment, all of them known"


def _unknown(name: str) -> Finding:
    found = f"nobody reads {PREFIX}{name}, which is set in the environment"
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
    if near:
        return problem(LABEL, found, f"Did you mean {PREFIX}{near[0]}? Then rename it.")
    return warning(LABEL, found, "Unset it.")


def _drill(environment: Mapping[str, str]) -> Iterator[Finding]:
    if variable(environment, CRASH_POINT):
        found = f"{CRASH_POINT} is set, so that processes end themselves"
        yield warning(LABEL, found, "Unset it, unless this is a drill.")


def _values(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Report values that schedulers and workers would not start with."""
    port = variable(environment, PORT_VARIABLE) or "0"
    try:
        PORT(port)
    except click.BadParameter:
        remedy = f"Expected a number from {PORT.min} to {PORT.max}. Set one, or unset it."
        yield problem(LABEL, f"{PORT_VARIABLE}={port} is no port", remedy)
    log_settings(environment)


def _secret_file(environment: Mapping[str, str], name: str) -> Iterator[Finding]:
    """Check who may read it, and the key in it; passwords are tried with their servers."""
    path = path_variable(environment, name)
    if name == SIGNING_KEY:
        signer(environment)
    if path and _is_open_to_all(Path(os.path.realpath(path))):
        yield warning(
            LABEL,
            f"every user of this machine may read the file {path} of {name}",
            f"Run: chmod o-rwx {path}, or keep it in a directory of mode 0700.",
        )


def _is_open_to_all(path: Path) -> bool:
    """Check that others may read the file, and no directory above keeps them out."""
    try:
        mode = path.stat().st_mode
        ways = [directory.stat().st_mode & stat.S_IXOTH for directory in path.parents]
    except OSError:  # nobody can read it then, which its server's line says
        return False
    is_readable = stat.S_ISREG(mode) and mode & stat.S_IROTH
    return bool(is_readable and all(ways) and not path.is_relative_to(CONTAINER_SECRETS))
