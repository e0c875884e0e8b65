"""Words of other tools, and misspelt ones: what is meant by them here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import click

from tapeworks.cli.commands import COMMANDS
from tapeworks.model.other_names import SETTINGS

_WORDS = {
    "cancel": ("abort", "kill", "terminate"),
    "check-network": ("check", "lint", "validate"),
    "compare": ("diff",),
    "delete": ("remove", "rm"),
    "doctor": ("check-setup", "diagnose", "verify"),
    "evaluate": ("eval", "score", "test"),
    "images": ("hardest", "samples"),
    "export": ("download", "save"),
    "fingerprint": ("cpu", "hardware", "machine"),
    "plot": ("draw", "graph", "picture"),
    "predict": ("classify", "infer", "inference"),
    "query": ("sql",),
    "replay": ("audit", "reproduce"),
    "retry": ("clone", "copy", "rerun", "restart"),
    "runs": ("experiments", "history", "jobs", "list", "ls", "ps", "search", "trials"),
    "scheduler": ("coordinator", "head", "master"),
    "show": ("describe", "get", "info", "inspect", "status"),
    "submit": ("enqueue", "queue"),
    "train": ("fit", "run"),
    "watch": ("attach", "follow", "tail"),
    "web": ("board", "dashboard", "serve", "server", "ui"),
    "worker": ("agent", "node"),
    "workers": ("agents", "nodes"),
}

#: Commands that are meant by other words, or may be.
OTHER_COMMANDS: dict[str, Sequence[str]] = {
    **{other: [name] for name, others in _WORDS.items() for other in others},
    "logs": ["watch", "show"],
    "log": ["watch", "show"],
    "start": ["train", "submit", "resume"],
    "stop": ["pause", "cancel"],
}

#: Options that are meant by other words, the first of them that the command has.
OTHER_OPTIONS = {
    **{other.replace("_", "-"): (name.replace("_", "-"),) for other, name in SETTINGS.items()},
    "checkpoint": ("init-from", "after"),
    "filter": ("where",),
    "force": ("yes",),
    "file": ("output", "config"),
    "init": ("init-from",),
    "n-workers": ("workers", "processes"),
    "num-workers": ("workers", "processes"),
    "order-by": ("sort",),
    "out": ("output",),
    "output-file": ("output",),
    "param": ("set", "vary", "option"),
    "params": ("set", "vary", "option"),
    "run-name": ("name",),
    "step": ("after", "iteration"),
    "sweep": ("vary",),
    "count": ("limit",),
    "top": ("limit",),
    "grid": ("vary",),
    "tags": ("tag",),
    "weights": ("init-from", "after"),
    "parameters": ("init-from", "after"),
}


def explain(error: click.ClickException) -> str:
    """The sentence of a wrong call; of an unknown word with the one that is meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        return _explain_option(error, error.ctx.command)
    if isinstance(error, click.exceptions.NoSuchCommand) and not error.possibilities:
        return _explain_command(error)
    return error.format_message()


def _explain_option(error: click.NoSuchOption, command: click.Command) -> str:
    helps = {
        flag.removeprefix("--"): option.help or ""
        for option in command.params
        if isinstance(option, click.Option)
        for flag in (*option.opts, *option.secondary_opts)
    }
    others = {
        other: known
        for other, names in OTHER_OPTIONS.items()
        if other not in helps and (known := [name for name in names if name in helps])
    }
    meant = _meant(error.option_name, others | {name: [name] for name in helps})[:1]
    if not meant:
        return error.format_message()
    meaning = helps[meant[0]].split("  [default")[0]
    return f"{error.message} Did you mean --{meant[0]} ({meaning})?"


def _explain_command(error: click.exceptions.NoSuchCommand) -> str:
    meant = _meant(error.command_name, OTHER_COMMANDS | {name: [name] for name in COMMANDS})
    if not meant:
        return f"{error.message} All commands: tapeworks --help"
    return f"{error.message} Did you mean {' or '.join(f'tapeworks {name}' for name in meant)}?"


def _meant(word: str, words: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the words that stand for this one, or for the one that is the most like it."""
    asked = word.lstrip("-").replace("_", "-").lower()
    near = [asked] if asked in words else difflib.get_close_matches(asked, words, n=1)
    return words[near[0]] if near else []
