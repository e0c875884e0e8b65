"""Words of other tools and misspelt ones are answered with what is meant."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tapeworks.cli.commands import COMMANDS
from tapeworks.cli.group import cli
from tapeworks.cli.other_words import INSTEAD, OTHER_CALLS, OTHER_COMMANDS, OTHER_OPTIONS
from tapeworks.model.config import RunConfig
from tapeworks.model.other_names import SETTINGS
from tapeworks.storage.queries.other_columns import OTHERS
from tapeworks.storage.queries.views import COLUMNS
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
        ("logs first", "tapeworks watch RUN or tapeworks show RUN --events"),
        ("events first", "tapeworks show RUN --events"),
        ("help runs", "tapeworks --help or tapeworks COMMAND --help"),
        ("version", "tapeworks --version"),
        ("-V", "--version"),
        ("tune", "tapeworks submit --vary"),
        ("submit --trials 5", "--vary"),
        ("runs --user bob", "--submitter"),
        ("runs --by bob", "--submitter"),
        ("rename first second", "tapeworks describe"),
        ("tag first", "tapeworks describe"),
        ("annotate first", "tapeworks describe"),
        ("trian", "tapeworks train"),
        ("check_network net.py", "tapeworks check-network"),
        ("db sise", "'size'"),
        ("submit --vary lr=1,2", "learning_rate"),
        ("submit --vary batch-size=1,2", "images_per_iteration"),
        ("submit --vary epohcs=1,2", "iterations"),
        ("runz", "tapeworks runs"),
        ("train --test 5", "--test-images"),
        ("images x --sort loss", "--by"),
        ("runs --sort-by loss", "--sort?"),
        ("query --timeout 3", "--seconds"),
        ("train --held-out 200", "--test-images"),
        ("submit --watch", "--follow"),
        ("submit --wait", "--follow"),
        ("submit -b 5", "--images-per-iteration"),
        ("train -n first", "--name"),
        ("worker -n 2", "--processes"),
        ("worker --concurrency 2", "--processes"),
        ("scheduler --concurrency 2", "--max-runs"),
        ("export first --format csv", "--to"),
        ("export first -o first.csv", "--output"),
        ("plot first --type loss", "--kind"),
        ("runs -n 5", "--limit"),
        ("delete first -y", "--yes"),
        ("state first", "tapeworks show?"),
        ("edit first", "tapeworks describe?"),
        ("batch", "tapeworks submit --vary?"),
        ("train --optimizer Adam", "adam?"),
        ("submit --optimizer sdg", "sgd?"),
        ("runs --format CSV", "csv?"),
        ("runs --status comleted", "completed?"),
        ("top", "tapeworks watch or tapeworks workers"),
        *[
            (f"train --{word} 5", "--images-per-iteration")
            for word in ("batchsize", "batch-sizes", "batch-siz", "bach-size", "bathc_szie")
        ],
        ("submit --vary batchsize=1,2", "images_per_iteration"),
        ("submit --vary microbatchsize=1,2", "microbatch_size"),
    ],
)
def test_an_unknown_word_is_answered_with_the_one_that_is_meant(
    line: str, meant: str, call: Call
) -> None:
    told_in_one_sentence(call(line), 2, f"Did you mean {meant}")


@pytest.mark.parametrize("name", ["evaluate", "export", "images", "pause", "predict"])
def test_a_missing_argument_is_answered_with_one_example(name: str, call: Call) -> None:
    told = call(name)
    told_in_one_sentence(told, 2, "Missing argument 'RUN")
    assert told.err.count("tapeworks") == 2, "who speaks, and the example"
    assert f". Example: tapeworks {name} first" in told.err


@pytest.mark.parametrize("line", ["-h", "train -h", "db size -h", "priority -h"])
def test_the_short_option_for_help_is_the_help(line: str, call: Call) -> None:
    helped = call(line)
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.startswith("Usage: tapeworks")


def test_a_word_like_no_other_leads_to_the_list(call: Call) -> None:
    told_in_one_sentence(call("zzzzzz"), 2, "All commands: tapeworks --help")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("train --time-limit 3m", "no limit of time, only of --iterations. Ctrl-C pauses it"),
        ("train --duration 3m", "tapeworks train --resume RUN"),
        ("submit --max_time 180", "tapeworks resume RUN"),
        ("train --gpu 0", "on CPUs alone"),
        ("runs --name first", "tapeworks show NAME"),
        ("images x --held-out", "All options: tapeworks images --help"),
        ("submit --latch", "All options: tapeworks submit --help"),
        ("db size --zzzz", "All options: tapeworks db size --help"),
    ],
)
def test_what_there_is_not_is_answered_with_what_to_do_instead(
    line: str, advice: str, call: Call
) -> None:
    told = call(line)
    told_in_one_sentence(told, 2, advice)
    assert "Did you mean" not in told.err


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("submit --learning-rate 0.001,0.003,0.01", "learning_rate=0.001,0.003,0.01"),
        ("train --seed 1,2", "seed=1,2"),
        ("train --optimizer sgd,adam", "optimizer=sgd,adam"),
    ],
)
def test_several_values_of_a_setting_are_answered_with_a_grid(
    line: str, choices: str, call: Call
) -> None:
    told_in_one_sentence(call(line), 2, f"For a run of each: tapeworks submit --vary {choices}, or")


def test_every_word_leads_to_one_that_there_is() -> None:
    context = click.Context(cli)
    loaded = [cli.get_command(context, name) for name in COMMANDS]
    flags = {flag for one in loaded if one for option in one.params for flag in option.opts}

    assert {name for names in OTHER_COMMANDS.values() for name in names} <= COMMANDS.keys()
    assert not (OTHER_COMMANDS | OTHER_CALLS).keys() & COMMANDS.keys()
    assert not OTHER_CALLS.keys() & OTHER_COMMANDS.keys()
    assert {command for command, _ in INSTEAD} <= COMMANDS.keys()
    assert {f"--{name}" for names in OTHER_OPTIONS.values() for name in names} <= {
        *flags,
        "--version",
    }
    assert set(SETTINGS.values()) <= RunConfig.model_fields.keys()
    assert not SETTINGS.keys() & RunConfig.model_fields.keys()


def test_other_names_of_columns_are_those_of_settings() -> None:
    columns = {name for view in COLUMNS.values() for name in view}
    assert {name for names in OTHERS.values() for name in names} <= columns
    shared = SETTINGS.keys() & OTHERS.keys()
    assert {name: OTHERS[name][0] for name in shared} == {name: SETTINGS[name] for name in shared}
    assert {"lr", "batch_size", "epochs", "model"} <= shared


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("show", "Missing argument 'RUN'. Example: tapeworks show first"),
        ("show run first", "(first). Expected one run: tapeworks show RUN"),
        ("train first", "A run is named with --name; --resume RUN goes on with one."),
        ("delete run first", "Leave out the word run: tapeworks delete first"),
        ("evaluate first --gpu", "computes on CPUs alone"),
        ("runs --mine --submitter bob", "exclude each other"),
    ],
)
def test_a_call_of_another_form_is_answered_with_the_one_here(
    line: str, told: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", str(tmp_path / "runs.db"))
    call("submit --images 8 --iterations 1")
    told_in_one_sentence(call(line), 2, told)
