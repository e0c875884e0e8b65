"""Every command that the README and the guide behind it show, run for real and in their order."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tapeworks.wire.redis_programs import executable
from tests.support.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]

#: The guide goes on in the terminal that the README leaves, beside its scheduler and workers.
DOCUMENTS = ("README.md", "docs/guide.md")

#: Where the README has its Redis.
SHOWN_HOST, SHOWN_PORT = "10.0.0.5", "6379"

#: Commands that run until they are stopped, with the exit code that they then end with.
LONG_RUNNING = {"redis-server": 0, "tapeworks scheduler": 130, "tapeworks worker": 130}

#: Seconds that a command may take; generous, for a machine that has other things to do.
COMMAND_SECONDS = 150

#: Seconds that a long-running command has to end in when it is asked to.
STOP_SECONDS = 20

#: Of this user's environment, nothing that would lead a command to this user's files.
PRIVATE = re.compile(r"TAPEWORKS_|XDG_|MAKE|MFLAGS|KERAS_HOME|MPLCONFIGDIR|VIRTUAL_ENV")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A line that a reader types, and what the README shows below it."""

    line: str
    output: list[str]

    @property
    def stopped_with(self) -> int | None:
        """The exit code with which a long-running command ends; None of all others."""
        words = (" ".join(self.line.split()[:count]) for count in (1, 2))
        return next((LONG_RUNNING[name] for name in words if name in LONG_RUNNING), None)

    @property
    def labels(self) -> list[str]:
        """The words that the shown lines begin with; numbers and paths are of another run."""
        firsts = (line.split()[0] for line in self.output if line.strip())
        return [first for first in firsts if first.isalpha()]


def commands(text: str) -> list[Command]:
    """All `$ ` lines of all console blocks, in order."""
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line=line[2:], output=[]))
            else:
                found[-1].output.append(line)
    return found


@dataclass
class Terminal:
    """A shell in a directory of its own, which sees nothing of this user."""

    directory: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not PRIVATE.match(name)}
        programs = self.directory / "programs"
        programs.mkdir()
        (programs / "redis-server").symlink_to(executable())
        path = f"{os.environ['PATH']}:{programs}"
        own = {"HOME": str(self.directory / "home"), "PATH": path, "PYTHONPATH": str(REPOSITORY)}
        self.environment = kept | own
        (self.directory / "home").mkdir()
        (self.directory / ".venv").symlink_to(sys.prefix)
        for name in ("docs", "examples"):
            (self.directory / name).symlink_to(REPOSITORY / name)

    def typed(self, line: str) -> str:
        """The line with this machine's Redis, and the recipe in place of `make`, which installs."""
        if line.startswith("make "):
            dry = ["make", "--dry-run", "--directory", str(REPOSITORY), line.removeprefix("make ")]
            recipe = subprocess.run(dry, capture_output=True, text=True, check=True).stdout
            shown = [text for text in recipe.splitlines() if not text.startswith("make")]
            return shown[-1]
        return line.replace(SHOWN_HOST, "127.0.0.1").replace(SHOWN_PORT, str(self.port))

    def export(self, line: str) -> None:
        """Keep variables for the commands that follow."""
        for word in shlex.split(line)[1:]:
            name = word.partition("=")[0]
            self.environment[name] = self.run(f'{self.typed(line)}; printf %s "${name}"')

    def run(self, line: str) -> str:
        """Return what a command prints on both streams; it must succeed."""
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert ended.returncode == 0, f"{line} ended with {ended.returncode}: {ended.stdout}"
        return ended.stdout

    @contextmanager
    def background(self, line: str, exit_code: int, log: Path) -> Iterator[None]:
        """A long-running command; afterwards neither it nor what it started is left."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield
            assert process.poll() is None, f"{line} ended early: {log.read_text()}"
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == exit_code, f"{line}: {log.read_text()}"
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that did not end in order, and whatever it has started."""
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal for the README's commands, with a free port for its Redis."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Terminal(directory=tmp_path, port=probe.getsockname()[1])


@pytest.mark.timeout(900)  # TensorFlow starts some twenty times, on a machine that may be busy
def test_every_command_of_the_readme_and_the_guide_works(terminal: Terminal) -> None:
    texts = [(REPOSITORY / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    typed = commands("\n".join(texts))
    assert {"make train", "tapeworks scheduler"} <= {command.line for command in typed}

    _run_all(terminal, typed)


def _run_all(terminal: Terminal, rest: list[Command]) -> None:
    """Run the commands; long-running ones go on until all that follow are done."""
    while rest:
        command, *rest = rest
        if command.stopped_with is not None:
            _run_beside(terminal, command, rest)
            return
        if command.line.startswith("export "):
            terminal.export(command.line)
        else:
            _check_output(command, terminal.run(terminal.typed(command.line)))


def _run_beside(terminal: Terminal, command: Command, rest: list[Command]) -> None:
    log = terminal.directory / f"{len(rest)}.log"
    line, exit_code = terminal.typed(command.line), command.stopped_with or 0
    with terminal.background(line, exit_code, log):
        if line.startswith("redis-server"):
            until(lambda: _listens(terminal.port), "Redis listens")
        else:
            until(lambda: command.labels[0] in log.read_text(), f"{line} speaks")
        _run_all(terminal, rest)
    _check_output(command, log.read_text())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _check_output(command: Command, output: str) -> None:
    """Lines begin with the same words as those that the README shows."""
    begun = {line.split()[0] for line in output.splitlines() if line.strip()}
    missing = [label for label in command.labels if label not in begun]

    assert missing == [], f"{command.line} says: {output}"
    assert "Traceback" not in output
