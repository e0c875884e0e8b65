"""The command line: one module per command, loaded when it is called.

`tapeworks runs` answers at once because it never loads what `tapeworks train` needs.
"""

from __future__ import annotations

import importlib
import sys

import typer

from tapeworks.errors import EXPECTED, ExitCode, exit_code

#: Each command and the module that holds it, in the order of the help.
COMMANDS = {
    "train": "tapeworks.commands.train",
    "submit": "tapeworks.commands.submit",
    "scheduler": "tapeworks.commands.scheduler",
    "worker": "tapeworks.commands.worker",
    "workers": "tapeworks.commands.workers",
    "runs": "tapeworks.commands.runs",
    "show": "tapeworks.commands.show",
    "watch": "tapeworks.commands.watch",
    "plot": "tapeworks.commands.plot",
    "export": "tapeworks.commands.export",
    "doctor": "tapeworks.commands.doctor",
    "db": "tapeworks.commands.db",
}

HELP = """Train a gradient-tape network across many machines.

The same bits for any number of workers, every image's gradient counted exactly once, and a history
in SQL. Start with: tapeworks train
"""


def main() -> None:
    """Run the command line and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; every expected error is one sentence on stderr."""
    app = _app(arguments)
    try:
        return int(app(args=arguments, prog_name="tapeworks", standalone_mode=False) or 0)
    except typer.Exit as exit_:
        return exit_.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _told("interrupted", ExitCode.INTERRUPTED)
    except EXPECTED as error:
        return _told(str(error), exit_code(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # how the command line says what it cannot parse
            return _told(error.format_message(), ExitCode.WRONG_USAGE)
        raise


def _app(arguments: list[str]) -> typer.Typer:
    """All commands, or just the one that is called."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    called = [argument for argument in arguments[:1] if argument in COMMANDS]
    for name in called or COMMANDS:
        importlib.import_module(COMMANDS[name]).register(app)
    app.callback()(_no_options)  # keeps a single command a sub-command
    return app


def _no_options() -> None:
    """Every option belongs to a command."""


def _told(sentence: str, code: ExitCode) -> int:
    print(f"tapeworks: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201
    return int(code)


if __name__ == "__main__":
    main()
