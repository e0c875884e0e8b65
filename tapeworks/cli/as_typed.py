"""Calls that hints repeat: the command as it was typed, with another value of an option."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click

#: Where a call keeps its arguments.
_ARGUMENTS = "tapeworks.arguments"


class AsTyped(click.Command):
    """A command that can be repeated: it remembers its arguments before they are read."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, which click takes out of the list, then read them."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def call_with(**others: Any) -> str:
    """Return the call in progress for a shell, with these values of options in place of its own."""
    context = click.get_current_context()
    parser = context.command.make_parser(context)
    given, _, typed = parser.parse_args(args=list(context.meta[_ARGUMENTS]))
    words = [*context.command_path.split()]
    for parameter in dict.fromkeys(typed):
        name = parameter.name or ""
        if isinstance(parameter, click.Option) and name not in others:
            words += _words(parameter, given[name])
    for name, value in others.items():
        words += [f"--{name}", str(value)]
    return shlex.join(words)


def _words(option: click.Option, value: Any) -> Iterator[str]:
    """The option as it would be typed, as often as it has values."""
    for one in value if option.multiple else [value]:
        if option.is_flag:
            yield option.opts[0] if one else option.secondary_opts[0]
        else:
            yield from (option.opts[0], one)
