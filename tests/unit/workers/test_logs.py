"""Lines in each format: what stands in them, and what must not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from tapeworks.model.errors import VariableUnreadable
from tapeworks.model.settings import LogFormat, Settings
from tapeworks.wire.addresses import passwords, without_passwords
from tapeworks.wire.log_context import about, about_nothing, context, go_on_about
from tapeworks.workers.logs import LogSettings, line, log_settings, logging_to_stderr

SECRET = "correct horse/battery"
QUOTED = "correct%20horse%2Fbattery"

JSON = LogSettings(format=LogFormat.JSON, level="debug")
DETAILED = LogSettings(level="debug")
PLAIN = LogSettings(level="info", is_plain=True)

logger = logging.getLogger("tapeworks.scheduler.somewhere")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://me:{QUOTED}@here:6379/0")


def logged(settings: LogSettings, capsys: Captured, message: str, **fields: Any) -> str:
    with logging_to_stderr(settings):
        logger.info(message, extra=fields)
    return capsys.readouterr().err


def test_plain_lines_are_the_sentence_alone(capsys: Captured) -> None:
    with about(run="r", shard=0):
        assert logged(PLAIN, capsys, "A sentence.") == "A sentence.\n"


def test_detailed_lines_name_what_they_are_about(capsys: Captured) -> None:
    with about(run="r", iteration=0, worker=None):
        text = logged(DETAILED, capsys, "A sentence.", shard=3)
    assert text.endswith(
        " INFO tapeworks.scheduler.somewhere: A sentence. run=r iteration=0 shard=3\n"
    )


def test_json_lines_are_objects_with_known_fields_only(capsys: Captured) -> None:
    with about(run="r", term=1):
        found = json.loads(
            logged(JSON, capsys, 'Say "ä"\nand', event="said", data={"of": "others"})
        )
    assert found.pop("time").endswith("+00:00")
    assert list(found.items()) == [
        ("level", "INFO"),
        ("logger", "tapeworks.scheduler.somewhere"),
        ("event", "said"),
        ("message", 'Say "ä"\nand'),
        ("run", "r"),
        ("term", 1),
    ]


@pytest.mark.parametrize("settings", [PLAIN, DETAILED])
def test_text_cannot_move_the_cursor_or_pretend_to_be_two_lines(
    settings: LogSettings, capsys: Captured
) -> None:
    text = logged(settings, capsys, "up \x1b[1A and\nover")
    assert "up \\x1b[1A and\\nover" in text
    assert text.count("\n") == 1


def test_no_traceback_moves_the_cursor(capsys: Captured) -> None:
    with logging_to_stderr(PLAIN):
        try:
            raise ValueError("up \x1b[1A and")
        except ValueError:
            logger.exception("It failed")
    text = capsys.readouterr().err
    assert "ValueError: up \\x1b[1A and\n" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("settings", [PLAIN, DETAILED, JSON])
@pytest.mark.parametrize("written", [SECRET, QUOTED, "redis://u:0ther@h/0", "?password=0ther&db=0"])
def test_secrets_are_masked_in_sentences_and_tracebacks(
    settings: LogSettings, written: str, capsys: Captured
) -> None:
    with logging_to_stderr(settings):
        try:
            raise ValueError(written)
        except ValueError:
            logger.exception("It said %s", written)
    text = capsys.readouterr().err
    assert "***" in text
    assert "ValueError" in text
    for secret in (SECRET, QUOTED, "0ther"):
        assert secret not in text


def test_a_short_password_is_masked_in_urls_only(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", "redis://me:redis@here/0")
    text = logged(PLAIN, capsys, "redis at redis://me:redis@here/0")
    assert text == "redis at redis://me:***@here/0\n"


@pytest.mark.parametrize(
    "name", ["REDIS_PASSWORD_FILE", "DATABASE_PASSWORD_FILE", "SIGNING_KEY_FILE"]
)
def test_what_files_of_secrets_hold_is_masked(
    name: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("open/sesame\n")
    monkeypatch.setenv(f"TAPEWORKS_{name}", str(tmp_path / "secret"))
    text = logged(JSON, capsys, "open/sesame, or in a URL open%2Fsesame")
    assert "***, or in a URL ***" in text


def test_a_file_of_secrets_that_is_not_there_is_not_for_the_log_to_tell(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_PASSWORD_FILE", "/nowhere")
    assert logged(PLAIN, capsys, "A sentence.") == "A sentence.\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at redis://:pw@h:1/0, gone", "at redis://:***@h:1/0, gone"),
        ("'rediss://u:p@w@h/0'", "'rediss://u:***@h/0'"),
        ("postgresql+psycopg://u:p/w@h/d and more", "postgresql+psycopg://u:***@h/d and more"),
        ("redis://h:6379/0 without one", "redis://h:6379/0 without one"),
        ("redis://h/0?ssl_password=pw&db=1 on", "redis://h/0?ssl_password=***&db=1 on"),
        ("two@ redis://a:b@c redis://d:e@f", "two@ redis://a:***@c redis://d:***@f"),
    ],
)
def test_passwords_are_found_within_a_text(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_passwords_are_known_as_they_are_written_and_as_they_are_meant() -> None:
    assert passwords(f"redis://me:{QUOTED}@h/0?ssl_password=abc", "runs.db", "") == {
        QUOTED,
        SECRET,
        "abc",
    }


def test_levels_hold_for_our_rooms_and_libraries_speak_up_when_all_is_debugged(
    capsys: Captured,
) -> None:
    library = logging.getLogger("some.library")
    for settings, ours, theirs in ((PLAIN, 1, 0), (DETAILED, 1, 1)):
        with logging_to_stderr(settings):
            logger.info("ours")
            library.info("theirs")
        text = capsys.readouterr().err
        assert (text.count("ours"), text.count("theirs")) == (ours, theirs)
    with logging_to_stderr(LogSettings(level="error")):
        logger.warning("ours")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [("celery.worker.consumer.consumer", 0), ("sqlalchemy.pool.impl.QueuePool", 0), ("other", 1)],
)
def test_errors_of_libraries_that_have_sentences_of_ours_are_for_debugging(
    name: str, shown: int, capsys: Captured
) -> None:
    library = logging.getLogger(name)
    for settings, expected in ((PLAIN, shown), (DETAILED, 1)):
        with logging_to_stderr(settings):
            library.error("theirs")
        assert capsys.readouterr().err.count("theirs") == expected
    with logging_to_stderr(PLAIN), warnings.catch_warnings():
        warnings.simplefilter("always")
        library.critical("theirs")
        warnings.warn("not theirs", UserWarning, stacklevel=1)
    assert capsys.readouterr().err.count("theirs") == 1


def test_warnings_and_dying_threads_are_lines_too(capsys: Captured) -> None:
    def die() -> None:
        raise ValueError(SECRET)

    with logging_to_stderr(JSON), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd", UserWarning, stacklevel=1)
        thread = threading.Thread(target=die, name="mortal")
        thread.start()
        thread.join()
    warned, died = map(json.loads, capsys.readouterr().err.splitlines())
    assert (warned["level"], warned["logger"]) == ("WARNING", "py.warnings")
    assert died["level"] == "CRITICAL"
    assert "mortal" in died["message"]
    assert "ValueError: ***" in died["traceback"]


def test_a_worker_that_ends_with_an_error_says_so_in_one_object() -> None:
    program = (
        "from tapeworks.workers import __main__ as process, app as celery; "
        "celery.app.worker_main = lambda _: 1 / 0; process.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "TAPEWORKS_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    [found] = map(json.loads, ended.stderr.splitlines())
    assert ended.returncode == 1
    assert "ZeroDivisionError" in found["traceback"]


def test_a_signal_handlers_line_is_like_the_others() -> None:
    with logging_to_stderr(JSON):
        assert json.loads(line("Stopping", "interrupted"))["event"] == "interrupted"


def test_logging_is_afterwards_as_it_was_before() -> None:
    root, room = logging.getLogger(), logging.getLogger("tapeworks")
    before = list(root.handlers), root.level, room.level, threading.excepthook
    with logging_to_stderr(JSON):
        assert root.handlers != before[0]
    assert (list(root.handlers), root.level, room.level, threading.excepthook) == before


def test_what_a_thread_works_on_is_its_own_and_ends() -> None:
    seen: list[dict[str, object]] = []
    with about(run="r"):
        with about(shard=1):
            thread = threading.Thread(target=lambda: seen.append(dict(context())))
            thread.start()
            thread.join()
            assert context() == {"run": "r", "shard": 1}
        assert context() == {"run": "r"}
        go_on_about(attempt=2)
        assert context() == {"run": "r", "attempt": 2}
        about_nothing()
        assert context() == {}
    assert seen == [{}]


@pytest.mark.parametrize(
    ("name", "value"), [("TAPEWORKS_LOG_FORMAT", "xml"), ("TAPEWORKS_LOG_LEVEL", "loud")]
)
def test_a_worker_process_refuses_what_does_not_exist(name: str, value: str) -> None:
    with pytest.raises(VariableUnreadable, match=f"Expected {name} .* Received: {value}"):
        log_settings(Settings({name: value}))


def test_an_empty_variable_counts_as_not_set() -> None:
    empty = {"TAPEWORKS_LOG_FORMAT": "", "TAPEWORKS_LOG_LEVEL": ""}
    assert log_settings(Settings(empty)) == log_settings(Settings({})) == LogSettings()
