"""The environment: variables that nobody reads, and files with secrets."""

from __future__ import annotations

import difflib
import functools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tapeworks.cli.service import PORT, PORT_VARIABLE
from tapeworks.doctor.findings import Finding, looked, ok, problem, warning
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.environment import path_variable, variable
from tapeworks.model.flags import FLAGS, THREADS, ignored_variables
from tapeworks.wire.crash_points import VARIABLE as CRASH_POINT
from tapeworks.wire.signing import VARIABLE as SIGNING_KEY
from tapeworks.wire.signing import signer
from tapeworks.workers.foreign import foreign
from tapeworks.workers.logs import log_settings

SETTINGS = "settings"

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
    wrong += looked(SETTINGS, lambda: _drill(environment))
    for name in sorted(SECRET_FILES):
        check = functools.partial(_secret_file, environment, PREFIX + name)
        wrong += looked(SETTINGS, check)
    wrong += looked(SETTINGS, lambda: _values(environment))
    yield from wrong
    if not wrong:
        yield ok(SETTINGS, _count(len(ours)))
    yield from _foreign(environment)


def _foreign(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Name what another program may need, so that nobody looks for an effect of it here."""
    names = {*foreign(environment), *ignored_variables(environment)} - {*THREAD_VARIABLES}
    if names:
        yield ok(SETTINGS, f"set for other programs, and ignored here: {', '.join(sorted(names))}")


def _count(count: int) -> str:
    if not count:
        return f"no {PREFIX}… variable in the environment"
    variables = "variable" if count == 1 else "variables"
    return f"{count} {PREFIX}… {variables} in the environment, all of them known"


def _unknown(name: str) -> Finding:
    found = f"nobody reads {PREFIX}{name}, which is set in the environment"
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
    if near:
        return problem(SETTINGS, found, f"Did you mean {PREFIX}{near[0]}? Then rename it.")
    return warning(SETTINGS, found, "Unset it.")


def _drill(environment: Mapping[str, str]) -> Iterator[Finding]:
    if variable(environment, CRASH_POINT):
        found = f"{CRASH_POINT} is set, so that processes end themselves"
        yield warning(SETTINGS, found, "Unset it, unless this is a drill.")


def _values(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Report values that schedulers and workers would not start with."""
    port = variable(environment, PORT_VARIABLE) or "0"
    try:
        PORT(port)
    except click.BadParameter:
        remedy = f"Expected a number from {PORT.min} to {PORT.max}. Set one, or unset it."
        yield problem(SETTINGS, f"{PORT_VARIABLE}={port} is no port", remedy)
    log_settings(environment)


def _secret_file(environment: Mapping[str, str], name: str) -> Iterator[Finding]:
    """Check who may read it, and the key in it; passwords are tried with their servers."""
    path = path_variable(environment, name)
    if name == SIGNING_KEY:
        signer(environment)
    if path and _is_open_to_all(Path(os.path.realpath(path))):
        yield warning(
            SETTINGS,
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


THREADS_LABEL = "threads"

#: Without any effect: Tapeworks computes with one thread in every process (measured: the same
#: fingerprint).
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

#: What chooses other instructions gives other bits (measured: another fingerprint).
BIT_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def check_threads(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What is set in vain, and what changes bits; of this process, which workers inherit from."""
    wrong = [*_overridden(environment), *_in_vain(environment), *_changing_bits(environment)]
    yield from wrong
    if not wrong:
        yield ok(
            THREADS_LABEL, f"{THREADS} for each worker process; nothing in the environment differs"
        )


def _overridden(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, value in FLAGS.items():
        if environment.get(name, value) != value:
            yield warning(
                THREADS_LABEL,
                f"{name}={environment[name]} is overridden with {value}, which decides bits",
                f"Unset {name}; it does nothing.",
            )


def _in_vain(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in THREAD_VARIABLES:
        if environment.get(name, str(THREADS)) != str(THREADS):
            yield warning(
                THREADS_LABEL,
                f"{name}={environment[name]} does nothing: a worker process computes with "
                f"{THREADS} thread",
                "Unset it; use more cores with: tapeworks worker --processes N",
            )


def _changing_bits(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in BIT_VARIABLES:
        if environment.get(name):
            yield warning(
                THREADS_LABEL,
                f"{name}={environment[name]} gives other bits than machines without it",
                "Unset it, or set it alike on all machines: fingerprints must be equal.",
            )


DATA_SETS = "data set"

#: Names the directory of MNIST's files.
DATA_DIR = "TAPEWORKS_DATA_DIR"


def check_data_sets(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Load the digits, and MNIST where its directory is named: else it would be downloaded."""
    yield from looked(DATA_SETS, lambda: [_loaded(RunConfig())])
    yield from looked(DATA_SETS, lambda: _mnist(environment))


def _mnist(environment: Mapping[str, str]) -> Iterator[Finding]:
    if variable(environment, DATA_DIR):
        yield _loaded(RunConfig(dataset="mnist"))


def _loaded(config: RunConfig) -> Finding:
    images = datasets.load(config).training.images
    side, other = images.shape[1:3]
    return ok(DATA_SETS, f"{config.dataset}, {len(images)} images of {side} × {other}")
