"""The command line: one module per command, loaded when it is called.

`tapeworks runs` answers at once because it never loads what `tapeworks train` needs.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path and not __file__.startswith(sys.path[0]):
    del sys.path[0]  # `python -m`: nothing in the working directory is meant for us

from tapeworks.cli.interrupts import end_at_once, ending_at_once, noting_interrupts, was_interrupted

with ending_at_once():  # while nothing has begun
    import errno
    import os

    import click

    from tapeworks.cli.group import cli
    from tapeworks.cli.outputs.printing import say
    from tapeworks.errors import EXPECTED, ExitCode, exit_code
    from tapeworks.model.hash_order import fix_hash_order
    from tapeworks.scheduler.errors import Interrupted
    from tapeworks.workers.foreign import hide_foreign
    from tapeworks.workers.streams import secure_streams


#: Commands that compute in this process.
COMPUTING = frozenset({"train", "evaluate", "predict", "replay", "fingerprint"})


def main() -> None:
    """Run the command line and end with its exit code.

    Whatever becomes of the streams, the command's work is done. Exit code 1 says that its output
    is incomplete; that nobody reads it any more is no failure.
    """
    end_at_once()
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
    try:
        with noting_interrupts(), hide_foreign(os.environ) as ignored:
            return _call(arguments, ignored)
    except (click.Abort, KeyboardInterrupt):
        return _report("interrupted", ExitCode.INTERRUPTED)


def _call(arguments: list[str], ignored: dict[str, str]) -> int:
    try:
        code = cli(args=arguments, prog_name="tapeworks", standalone_mode=False, obj=ignored)
    except Exception as error:
        if was_interrupted() and not isinstance(error, Interrupted):
            raise KeyboardInterrupt from error
        return _report_or_raise(error)
    return int(code or ExitCode.DONE)


def _report_or_raise(error: Exception) -> int:
    """Report an expected error; raise any other: what is not expected is a defect."""
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
