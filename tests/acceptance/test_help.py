"""The help: every command and every option is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tapeworks.cli.commands import COMMANDS
from tapeworks.cli.group import cli
from tapeworks.cli.option_kinds import Number, Whole
from tests.support.calls import Call


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, groups and their commands as well."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.get_short_help_str(1000) == COMMANDS[name].help


def test_the_list_of_commands_is_shown_without_loading_one() -> None:
    script = (
        "import sys; from tapeworks.__main__ import run; assert run(['--help']) == 0; "
        "sys.exit(','.join(sys.modules.keys() & {'sqlalchemy', 'pydantic', 'numpy', 'redis'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.stderr.strip() == ""
    assert all(f"\n  {name} " in ran.stdout for name in COMMANDS)


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_the_help_of_every_command_explains_it_and_all_its_options(
    name: str, command: click.Command, call: Call
) -> None:
    helped = call(f"{name} --help")
    assert (helped.code, helped.err) == (0, "")
    assert f"tapeworks {name}" in helped.out
    assert (command.help or "").splitlines()[0] in " ".join(helped.out.split())
    example = "Example" in helped.out or isinstance(command, click.Group)
    assert example, "it shows how it is called"
    for parameter in command.params:
        for flag in [*parameter.opts, *parameter.secondary_opts]:
            shown = flag if flag.startswith("-") else parameter.make_metavar(click.Context(command))
            assert shown in helped.out, flag


def lists_every_command(help_text: str) -> bool:
    return all(re.search(rf"^  {name} +\S", help_text, re.MULTILINE) for name in COMMANDS)


def test_the_help_lists_every_command(call: Call) -> None:
    helped = call("--help")
    assert (helped.code, helped.err) == (0, "")
    assert lists_every_command(helped.out)


def test_without_a_command_the_help_is_a_hint_and_the_call_is_wrong(call: Call) -> None:
    hinted = call("")
    assert (hinted.code, hinted.out) == (2, "")
    assert lists_every_command(hinted.err)


def test_every_number_is_refused_in_the_sentences_of_numbers() -> None:
    plain = (click.types.IntParamType, click.types.FloatParamType)
    kinds = {
        (name, parameter.name): type(parameter.type)
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter.type, plain)
    }
    assert kinds
    assert {place for place, kind in kinds.items() if kind not in {Whole, Number}} == set()
