"""The command `tapeworks` itself: its commands are loaded when they are called."""

from __future__ import annotations

import importlib

import click

from tapeworks.cli.commands import COMMANDS


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


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tapeworks")
def cli() -> None:
    """Train a gradient-tape network across many machines.

    The same bits for any number of workers, every image's gradient counted exactly once, and a
    history in SQL. Start with: tapeworks train
    """
