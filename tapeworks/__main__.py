"""The command line: one module per command, loaded when it is called.

`tapeworks runs` answers at once because it never loads what `tapeworks train` needs.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path and not __file__.startswith(sys.path[0]):
    del sys.path[0]  # `python -m`: nothing in the working directory is meant for us

from tapeworks.cli.interrupts import ending_at_once, noting_interrupts

with ending_at_once():  # while nothing has begun
    import errno
    import importlib
    import os

    import click

    from tapeworks.cli.commands import COMMANDS
    from tapeworks.cli.outputs.printing import say
    from tapeworks.errors import EXPECTED, ExitCode, exit_code
    from tapeworks.model.hash_order import fix_hash_order
    from tapeworks.scheduler.errors import Interrupted
    from tapeworks.workers.foreign import hide_foreign
    from tapeworks.workers.streams import secure_streams


class LazyGroup(click.Group):
    """Loads a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tapeworks.cli.commands.{COMMANDS[cmd_name].module}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write each command's name and line."""
        room = formatter.width - 6 - max(map(len, COMMANDS))
        lines = [
            (name, click.Command(name, help=at.help).get_short_help_str(room))
            for name, at in COMMANDS.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


#: Commands that compute in this process.
COMPUTING = frozenset({"train", "evaluate", "predict", "replay", "fingerprint"})


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tapeworks")
def cli() -> None:
    """Train a gradient-tape network across many machines.

    The same bits for any number of workers, every image's gradient counted exactly once, and a
    history in SQL. Start with: tapeworks train
    """


def main() -> None:
    """Run the command line and end with its exit code.

    Whatever becomes of the streams, the command's work is done. Exit code 1 says that its output
    is incomplete; that nobody reads it any more is no failure.
    """
    with ending_at_once():
        if COMPUTING.intersection(sys.argv[1:2]):
            fix_hash_order()
        streams = secure_streams()
    code = run(sys.argv[1:])
    lost = streams.stdout.lost
    if lost and lost.errno != errno.EPIPE:
        sentence = f"Standard output cannot be written: {lost.strerror}."
        code = code or _report(sentence, ExitCode.RUN_FAILED)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; every expected error is one sentence on stderr."""
    with noting_interrupts() as interrupted, hide_foreign(os.environ) as ignored:
        try:
            code = cli(args=arguments, prog_name="tapeworks", standalone_mode=False, obj=ignored)
            return int(code or ExitCode.DONE)
        except (click.Abort, KeyboardInterrupt):
            return _report("interrupted", ExitCode.INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - what is not expected is raised again
            if interrupted.is_set() and not isinstance(error, Interrupted):
                return _report("interrupted", ExitCode.INTERRUPTED)
            return _tell(error)


def _tell(error: Exception) -> int:
    """Report an expected error; raise any other, which is a defect."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.ctx.get_help() if error.ctx else error, file=sys.stderr)  # noqa: T201
        return ExitCode.WRONG_USAGE
    if isinstance(error, click.ClickException):
        from tapeworks.cli.other_words import explain  # needed for a mistake alone

        return _report(explain(error), ExitCode.WRONG_USAGE)
    if isinstance(error, EXPECTED):
        return _report(str(error), exit_code(error))
    raise error


def _report(sentence: str, code: ExitCode) -> int:
    say(f"tapeworks: {' '.join(sentence.split())}")
    return int(code)


if __name__ == "__main__":
    main()
