"""This machine: variables and files with secrets, threads, data sets."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tapeworks.cluster.left_overs import find_left_overs
from tapeworks.doctor.findings import Finding, join_names, ok, problem, run_check, warning
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.cifar10 import find_batches
from tapeworks.model.datasets.loading import read_source
from tapeworks.model.datasets.mnist import has_mnist
from tapeworks.model.datasets.source import Images
from tapeworks.model.engine.flags import FLAGS, THREADS, find_ignored_variables
from tapeworks.model.settings import PREFIX, Setting, Settings, find_unread
from tapeworks.wire.signing import signer
from tapeworks.workers.foreign import foreign
from tapeworks.workers.logs import ADDRESSES

SETTINGS = "settings"

#: Where containers have their secrets, readable by all of the one user that they have.
CONTAINER_SECRETS = Path("/run/secrets")

THREADS_LABEL = "threads"

#: Without any effect: Tapeworks computes with one thread in every process (measured: the same
#: fingerprint).
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

#: What chooses other instructions gives other bits (measured: another fingerprint).
BIT_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

DATA_SETS = "data set"
LEFT_OVERS = "left over"


def check_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Report settings without effect, and secrets that cannot be read, or by too many."""
    wrong = [_unread(name, near) for name, near in find_unread(environment).items()]
    settings = Settings(environment)
    for setting in Settings.list_all():
        if setting not in (*ADDRESSES, Settings.data_dir):  # which have checks of their own
            wrong += run_check(SETTINGS, functools.partial(_value, setting, settings))
    yield from wrong
    if not wrong:
        yield ok(SETTINGS, _count(sum(name.startswith(PREFIX) for name in environment)))
    yield from _foreign(environment)


def _foreign(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Name what another program may need, so that nobody looks for an effect of it here."""
    names = {*foreign(environment), *find_ignored_variables(environment)} - {*THREAD_VARIABLES}
    if names:
        yield ok(SETTINGS, f"set for other programs, and ignored here: {', '.join(sorted(names))}")


def _count(count: int) -> str:
    if not count:
        return f"no {PREFIX}… variable in the environment"
    variables = "variable" if count == 1 else "variables"
    return f"{count} {PREFIX}… {variables} in the environment, all of them known"


def _unread(name: str, near: str | None) -> Finding:
    found = f"nobody reads {name}, which is set in the environment"
    if near:
        return problem(SETTINGS, found, f"Did you mean {near}? Then rename it.")
    return warning(SETTINGS, found, "Unset it.")


def _value(setting: Setting[Any], settings: Settings) -> Iterator[Finding]:
    """Read it as those do who need it, and check who may read a secret's file."""
    given = setting.read(settings)
    if setting is Settings.signing_key_file:
        signer(settings)
    if setting.is_secret and given and _is_open_to_all(Path(os.path.realpath(given))):
        yield warning(
            SETTINGS,
            f"every user of this machine may read the file {given} of {setting.variable}",
            f"Run: chmod o-rwx {given}, or keep it in a directory of mode 0700.",
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


def check_threads(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check variables that have no effect or change bits, in this process as in its workers."""
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


def check_left_overs(base: Path) -> Iterator[Finding]:
    """Report directories of killed trainings, if there are any."""
    if found := find_left_overs(base):
        of = "a training that was" if len(found) == 1 else f"{len(found)} trainings that were"
        names = join_names([str(one) for one in found])
        yield ok(LEFT_OVERS, f"{names}: of {of} killed; the next train removes it all")


def check_data_sets(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Load the digits, and what the named directory holds; MNIST would be downloaded without it."""
    yield from run_check(DATA_SETS, lambda: [_load(RunConfig())])
    yield from run_check(DATA_SETS, lambda: _named(environment))


def _named(environment: Mapping[str, str]) -> Iterator[Finding]:
    directory = Settings(environment).data_dir
    if directory is None:
        return
    has_cifar10 = bool(find_batches(directory))
    if has_cifar10:
        yield _found(
            "cifar10", read_source("cifar10", str(directory), is_built_in=False).training.images
        )
    if has_mnist(directory) or not has_cifar10:
        yield _load(RunConfig(dataset="mnist"))


def _load(config: RunConfig) -> Finding:
    return _found(config.dataset, datasets.load(config).training.images)


def _found(name: str, images: Images) -> Finding:
    side, other = images.shape[1:3]
    return ok(DATA_SETS, f"{name}, {len(images)} images of {side} × {other}")
