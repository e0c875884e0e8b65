"""Variables of other programs are known as such, and the Celery app obeys none of them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapeworks.doctor.machine import check_variables
from tapeworks.model.engine.flags import FLAGS, find_ignored_variables
from tapeworks.wire.addresses import DEFAULT_URL, REDIS
from tapeworks.workers.app import OwnApp
from tapeworks.workers.foreign import foreign, hide_foreign, without_foreign
from tests.support.processes import ROOT

#: A variable that is read, or that an option of Celery's command line is taken from.
READ = re.compile(r"""(?:environ(?:\.get)?[\[(]|_env\(|envvar=)['"](\w+)['"]""")

#: Of terminals and of other queues than Redis, which no code here comes to.
HARMLESS = {"CELERY_DUMMY", "ITERM_PROFILE", "NO_COLOR", "NUMBER_OF_PROCESSORS", "TERM"}
OTHER_QUEUES = re.compile(r"SL_\w+|SLMQ_\w+|PUBSUB_\w+")

#: Addresses at which nobody answers.
NOWHERE = "redis://127.0.0.1:1/7"


def modules_of(package: str) -> Iterator[Path]:
    for place in importlib.import_module(package).__path__:
        yield from Path(place).rglob("*.py")


@pytest.mark.parametrize("package", ["celery", "kombu"])
def test_every_variable_that_the_queues_libraries_read_is_ignored(package: str) -> None:
    names = {
        name
        for module in modules_of(package)
        if not {"tests", "testing"} & set(module.parts) and module.name != "pytest.py"
        for name in READ.findall(module.read_text())
    }
    read = {name for name in names - HARMLESS if not OTHER_QUEUES.fullmatch(name)}
    assert read, "there are some"
    assert read - foreign(dict.fromkeys(read, "x")).keys() == set()


OURS = ["TAPEWORKS_REDIS_URL", "HOME", "PATH", "LANG", "TMPDIR", "KERAS_HOME", "MPLCONFIGDIR"]
FILLING_IN = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE"]
FILLING_IN += ["PGSSLROOTCERT"]


@pytest.mark.parametrize("name", OURS + FILLING_IN)
def test_what_says_where_something_is_remains(name: str) -> None:
    assert without_foreign({name: "x"}) == {name: "x"}


FOREIGN = ["CELERY_BROKER_URL", "MPLBACKEND", "KERAS_BACKEND", "PGDATESTYLE", "PGSERVICE"]
FOREIGN += ["PGHOSTADDR", "PROMETHEUS_MULTIPROC_DIR", "PSYCOPG_IMPL"]


@pytest.mark.parametrize("name", FOREIGN)
def test_variables_of_other_programs_are_gone_for_a_time(name: str) -> None:
    environment = {name: "x", "HOME": "/home"}
    with hide_foreign(environment) as ignored:
        assert (environment, ignored) == ({"HOME": "/home"}, {name: "x"})
    assert environment == {name: "x", "HOME": "/home"}


def test_tensorflow_is_told_nothing_but_our_flags_and_what_to_log() -> None:
    ignored = ["ONEDNN_VERBOSE", "TF_XLA_FLAGS", "XLA_SOMETHING"]
    assert find_ignored_variables([*ignored, "TF_CPP_MIN_LOG_LEVEL", "HOME", *FLAGS]) == ignored


@pytest.fixture
def of_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment and the directory of somebody who works on another Celery program."""
    (tmp_path / "celeryconfig.py").write_text("raise RuntimeError('of another program')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL"):
        monkeypatch.setenv(f"CELERY_{name}", NOWHERE)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "django-db")
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "celeryconfig")
    monkeypatch.setenv("CELERY_LOADER", "nowhere.Loader")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "nowhere.settings")


@pytest.mark.usefixtures("of_another_program")
def test_an_app_uses_the_redis_that_it_is_told_and_keeps_no_results() -> None:
    app = OwnApp("ours", include=[])
    app.use_redis("redis://127.0.0.1:7391/2")
    for connection in (
        app.connection_for_read(),
        app.connection_for_write(),
        app.connection(),
        app.connection_for_write(NOWHERE),
    ):
        assert connection.as_uri() == "redis://127.0.0.1:7391/2"
    assert app.backend.as_uri() == "disabled://"
    app.close()


def test_the_doctor_names_what_is_ignored() -> None:
    environment = {
        REDIS.url_variable: DEFAULT_URL,
        "MPLBACKEND": "agg",
        "CELERY_BROKER_URL": NOWHERE,
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    }
    *_, finding = check_variables(environment)
    named = "CELERY_BROKER_URL, MPLBACKEND, TF_XLA_FLAGS"
    assert finding.found == f"set for other programs, and ignored here: {named}"
    assert finding.level == "ok"


def test_importing_the_app_reads_no_environment_and_changes_no_library() -> None:
    checked = (
        "import tapeworks.workers.app, kombu.transport.redis as its\n"
        "assert its.Transport.Channel is its.Channel\n"
        "assert not tapeworks.workers.app.app.redis_url\n"
    )
    subprocess.run(
        [sys.executable, "-c", checked],
        env=os.environ | {REDIS.url_variable: "http://nowhere"},
        cwd=ROOT,
        check=True,
    )
