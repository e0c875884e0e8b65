"""Words of other tools and misspelt ones are answered with what is meant."""

from __future__ import annotations

import click
import pytest

from tapeworks.__main__ import cli
from tapeworks.cli.commands import COMMANDS
from tapeworks.cli.other_words import OTHER_COMMANDS, OTHER_OPTIONS
from tapeworks.model.config import RunConfig
from tapeworks.model.other_names import SETTINGS
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("train --batch-size 32", "--images-per-iteration"),
        ("submit --lr 0.1", "--learning-rate"),
        ("train --learning_rate 0.1", "--learning-rate"),
        ("train --epochs 3", "--iterations"),
        ("train --epohcs 3", "--iterations"),
        ("train --weights w.safetensors", "--init-from"),
        ("evaluate first --weights w.safetensors", "--after"),
        ("runs --filter x", "--where"),
        ("submit --sweep lr=1,2", "--vary"),
        ("list", "tapeworks runs"),
        ("ps", "tapeworks runs"),
        ("Runs", "tapeworks runs"),
        ("stop first", "tapeworks pause or tapeworks cancel"),
        ("rm first", "tapeworks delete"),
        ("logs first", "tapeworks watch or tapeworks show"),
        ("trian", "tapeworks train"),
        ("check_network net.py", "tapeworks check-network"),
        ("db sise", "'size'"),
        ("submit --vary lr=1,2", "learning_rate"),
        ("submit --vary batch-size=1,2", "images_per_iteration"),
    ],
)
def test_an_unknown_word_is_answered_with_the_one_that_is_meant(
    line: str, meant: str, call: Call
) -> None:
    told_in_one_sentence(call(line), 2, f"Did you mean {meant}")


@pytest.mark.parametrize("line", ["-h", "train -h", "db size -h", "priority -h"])
def test_the_short_option_for_help_is_the_help(line: str, call: Call) -> None:
    helped = call(line)
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.startswith("Usage: tapeworks")


def test_a_word_like_no_other_leads_to_the_list(call: Call) -> None:
    told_in_one_sentence(call("zzzzzz"), 2, "All commands: tapeworks --help")


def test_every_word_leads_to_one_that_there_is() -> None:
    context = click.Context(cli)
    commands = [cli.get_command(context, name) for name in COMMANDS]
    flags = {flag for one in commands if one for option in one.params for flag in option.opts}

    assert {name for names in OTHER_COMMANDS.values() for name in names} <= COMMANDS.keys()
    assert not OTHER_COMMANDS.keys() & COMMANDS.keys()
    assert {f"--{name}" for names in OTHER_OPTIONS.values() for name in names} <= flags
    assert set(SETTINGS.values()) <= RunConfig.model_fields.keys()
    assert not SETTINGS.keys() & RunConfig.model_fields.keys()
