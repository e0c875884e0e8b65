"""Ctrl-C in code that turns `KeyboardInterrupt` into an error of its own, as TensorFlow does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import pytest

from tapeworks import __main__ as command_line
from tapeworks.cli.interrupts import AGAIN_SECONDS, noting_interrupts, was_interrupted
from tapeworks.cli.outputs.printing import succeeds
from tapeworks.cluster.session import interruptible, means_for
from tapeworks.errors import ExitCode
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.errors import Interrupted
from tests.support.training import database, submitted


def turn_into_another_error() -> None:
    """Be interrupted as in compiled code that calls Python."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise SystemError("a result with an exception set")


def test_an_interrupt_is_noted_and_raised_and_its_handler_taken_away() -> None:
    with noting_interrupts():
        assert not was_interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert was_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noting_interrupts():
            signal.raise_signal(signal.SIGINT)
        assert not was_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("kind", "told"),
    [(SystemError, "interrupted"), (Interrupted, "2 iterations are kept")],
)
def test_an_error_after_an_interrupt_is_the_interrupt(
    kind: type[Exception],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command
    def command() -> None:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise kind("2 iterations are kept")

    monkeypatch.setattr(command_line, "cli", command)
    assert command_line.run([]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == f"tapeworks: {told}\n"


def test_a_defect_without_an_interrupt_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command
    def command() -> None:
        raise SystemError("a defect")

    monkeypatch.setattr(command_line, "cli", command)
    with pytest.raises(SystemError, match="a defect"):
        command_line.run([])


def drop() -> None:
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def drop_in_a_destructor() -> None:
    destroy(interrupt)
    threading.Event().wait(30)


@pytest.mark.parametrize("become", [turn_into_another_error, drop, drop_in_a_destructor])
def test_an_interrupt_while_a_library_is_loaded_ends_the_preparation(
    become: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: LocalDispatcher) -> None:
        become()

    monkeypatch.setattr(LocalDispatcher, "load", load)
    config = RunConfig(dataset="digits", images=4, iterations=1)
    run, control = submitted(database(tmp_path), config), Control()
    monkeypatch.setattr(LocalDispatcher, "prepare", lambda *_: None)
    with (
        noting_interrupts(),
        pytest.raises(Interrupted),
        interruptible(control, "Stopping"),
        means_for(run, config, None, 0, None, control),
    ):
        raise AssertionError("It was prepared.")
    assert not control.abandoning
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_without_an_interrupt_ends_the_preparation_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: LocalDispatcher) -> None:
        raise SystemError("a defect")

    monkeypatch.setattr(LocalDispatcher, "load", load)
    config = RunConfig(dataset="digits", images=4, iterations=1)
    run, control = submitted(database(tmp_path), config), Control()
    with (
        pytest.raises(SystemError, match="a defect"),
        interruptible(control, "Stopping"),
        means_for(run, config, None, 0, None, control),
    ):
        raise AssertionError("It was prepared.")


def test_a_third_interrupt_is_noted(capfd: pytest.CaptureFixture[str]) -> None:
    with noting_interrupts(), interruptible(Control(), "Stopping"):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert not was_interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert was_interrupted()
    assert "once more to stop at once" in capfd.readouterr().err


class Destroyed:
    """Does something while it is destroyed, where Python drops every error."""

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do

    def __del__(self) -> None:
        self.do()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def fail() -> None:
    raise SystemError("a result with an exception set")


def destroy(do: Callable[[], None]) -> None:
    destroyed = Destroyed(do)
    del destroyed


def test_an_interrupt_that_python_drops_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    with noting_interrupts():
        destroy(interrupt)
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(30)
    assert capfd.readouterr().err == ""


def test_no_interrupt_comes_once_a_command_has_ended(capfd: pytest.CaptureFixture[str]) -> None:
    with noting_interrupts():
        destroy(interrupt)
    threading.Event().wait(5 * AGAIN_SECONDS)  # for what must not happen there is no event
    assert capfd.readouterr().err == ""


def test_what_is_dropped_after_an_interrupt_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(str(dropped.exc_value)))
    with noting_interrupts():
        destroy(fail)
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        destroy(fail)
    assert told == ["a result with an exception set"]


def test_an_output_that_an_interrupt_ends_is_no_failure_of_its_own() -> None:
    with noting_interrupts(), pytest.raises(KeyboardInterrupt):
        succeeds("picture", turn_into_another_error)
