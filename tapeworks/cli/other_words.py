"""Words of other tools, and misspelt ones: what is meant by them here."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from tapeworks.cli.commands import COMMANDS
from tapeworks.model.other_names import SETTINGS, find_near

_WORDS = {
    "cancel": ("abort", "kill", "terminate"),
    "check-network": ("check", "lint", "validate"),
    "compare": ("diff",),
    "delete": ("remove", "rm"),
    "describe": ("annotate", "edit", "label", "modify", "mv", "note", "rename", "tag", "untag"),
    "doctor": ("check-setup", "diagnose", "verify"),
    "evaluate": ("eval", "score", "test"),
    "images": ("hardest", "samples"),
    "export": ("download", "save"),
    "fingerprint": ("cpu", "hardware", "machine"),
    "plot": ("draw", "graph", "picture"),
    "predict": ("classify", "infer", "inference"),
    "query": ("sql",),
    "replay": ("audit", "reproduce"),
    "gc": ("clean", "cleanup", "prune", "purge"),
    "retry": ("clone", "copy", "cp", "rerun", "restart"),
    "runs": ("experiments", "history", "jobs", "list", "ls", "ps", "search", "trials"),
    "scheduler": ("coordinator", "head", "master"),
    "show": ("get", "info", "inspect", "stat", "state", "status", "summary"),
    "submit": ("enqueue", "queue"),
    "train": ("fit", "run"),
    "watch": ("attach", "follow", "monitor", "tail"),
    "web": ("board", "dashboard", "serve", "server", "ui"),
    "worker": ("agent", "node"),
    "workers": ("agents", "nodes"),
}

#: Commands that are meant by other words, or may be.
OTHER_COMMANDS: dict[str, Sequence[str]] = {
    **{other: [name] for name, others in _WORDS.items() for other in others},
    **{other: ["watch", "workers"] for other in ("top", "htop")},
    "start": ["train", "submit", "resume"],
    "stop": ["pause", "cancel"],
}

#: Options that are meant by a single letter.
_LETTERS = {
    "b": ("images-per-iteration",),
    "c": ("config", "processes"),
    "d": ("dataset",),
    "f": ("follow", "yes", "file"),
    "j": ("processes", "workers"),
    "l": ("limit",),
    "n": ("limit", "processes", "name"),
    "o": ("output",),
    "p": ("port",),
    "s": ("sort", "seed"),
    "t": ("tag",),
    "v": ("version",),
    "w": ("workers", "processes"),
    "y": ("yes",),
}

#: Options that are meant by other words, the first of them that the command has.
OTHER_OPTIONS = {
    **{other.replace("_", "-"): (name.replace("_", "-"),) for other, name in SETTINGS.items()},
    "checkpoint": ("init-from", "after"),
    "concurrency": ("processes", "max-runs"),
    "filter": ("where",),
    "force": ("yes",),
    "file": ("output", "config"),
    "format": ("to", "json"),
    "held-out": ("test-images",),
    "init": ("init-from",),
    "n-workers": ("workers", "processes"),
    "num-workers": ("workers", "processes"),
    "order": ("sort", "by"),
    "order-by": ("sort", "by"),
    "out": ("output",),
    "output-file": ("output",),
    "param": ("set", "vary", "option"),
    "params": ("set", "vary", "option"),
    "run-name": ("name",),
    "sort": ("by",),
    "sort-by": ("sort", "by"),
    "step": ("after", "iteration"),
    "type": ("kind", "to", "format"),
    **dict.fromkeys(("wait", "watch", "attach"), ("follow",)),
    **dict.fromkeys(("sweep", "trials", "n-trials", "grid"), ("vary",)),
    **dict.fromkeys(("user", "by", "owner", "author", "who"), ("submitter",)),
    **_LETTERS,
    "count": ("limit",),
    "top": ("limit",),
    "tags": ("tag",),
    "weights": ("init-from", "after"),
    "parameters": ("init-from", "after"),
    **dict.fromkeys(("max-time", "time-limit", "timeout"), ("seconds",)),
}

#: Commands that are meant with an option, or options alone.
OTHER_CALLS = {
    **dict.fromkeys(("help", "usage", "man"), "tapeworks --help or tapeworks COMMAND --help"),
    "version": "tapeworks --version",
    **dict.fromkeys(
        ("batch", "grid", "optimize", "study", "sweep", "tune"), "tapeworks submit --vary"
    ),
    **dict.fromkeys(("events", "journal"), "tapeworks show RUN --events"),
    **dict.fromkeys(("log", "logs"), "tapeworks watch RUN or tapeworks show RUN --events"),
}

#: What to do instead of naming a run, by commands that name none.
_NOT_A_RUN = {
    "train": "A run is named with --name; --resume RUN goes on with one.",
    "submit": "A run is named with --name.",
    "runs": "To see one run: tapeworks show RUN",
}

_NO_TIME_LIMIT = (
    "A run has no limit of time, only of --iterations. {} pauses it, {} RUN goes on to the same "
    "bits."
)

_PROCESSORS = "Tapeworks computes on CPUs alone, which is what makes the bits repeatable."

_NAMED = (
    "A run's name is its argument in other commands, such as: tapeworks show NAME. To list runs "
    "by their names: tapeworks runs --where \"name LIKE 'NAME%'\""
)

#: Options that are not here under any name, by their commands: what to do instead.
_INSTEAD = [
    (("train",), "time", _NO_TIME_LIMIT.format("Ctrl-C", "tapeworks train --resume")),
    (
        ("submit", "retry", "scheduler"),
        "time",
        _NO_TIME_LIMIT.format("tapeworks pause RUN", "tapeworks resume"),
    ),
    (
        ("train", "submit", "retry", "scheduler", "worker", "evaluate", "predict", "replay"),
        "processor",
        _PROCESSORS,
    ),
    (("runs",), "name", _NAMED),
]

_KINDS = {
    "name": ("name", "names", "run-name", "run"),
    "processor": ("gpu", "gpus", "n-gpus", "num-gpus", "device", "devices", "accelerator", "cuda"),
    "time": (
        *("time", "time-limit", "time-budget", "timeout", "max-time", "max-seconds", "seconds"),
        *("max-minutes", "minutes", "max-duration", "duration", "walltime", "wall-time"),
        *("deadline", "max-runtime", "runtime"),
    ),
}

#: A sentence for each option of this sort, by command and word.
INSTEAD = {
    (command, word): sentence
    for commands, kind, sentence in _INSTEAD
    for command in commands
    for word in _KINDS[kind]
}


def explain(error: click.ClickException) -> str:
    """The sentence of a wrong call; of an unknown word with the one that is meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        return _explain_option(error, error.ctx.command)
    if isinstance(error, click.exceptions.NoSuchCommand) and not error.possibilities:
        return _explain_command(error)
    advice = _advise(error)
    return f"{error.format_message().rstrip('.')}. {advice}" if advice else error.format_message()


def _advise(error: click.ClickException) -> str:
    """Return what to type instead of a missing argument, or of one too many."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return ""
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        return _nearest_choice(error)
    if isinstance(error, click.MissingParameter):
        return _example(context.command)
    if "unexpected extra argument" not in error.message:
        return ""
    takes_one = any(parameter.name == "run" for parameter in context.command.params)
    one = f"Expected one run: {context.command_path} RUN" if takes_one else ""
    return _NOT_A_RUN.get(context.command.name or "", one)


def _nearest_choice(error: click.BadParameter) -> str:
    """Return the nearest of the values that an option has, if it has one of a few."""
    kind = error.param.type if error.param else None
    typed = re.search(r"^'(.*?)' is not one of|Received: \w+=(.*)$", error.message)
    choices = kind.choices if isinstance(kind, click.Choice) else ()
    word = _plain(typed[1] or typed[2]) if typed else ""
    near = find_near(word, {str(one): [str(one)] for one in choices})
    return f"Did you mean {near[0]}?" if near else ""


def _example(command: click.Command) -> str:
    """Return the first call that the end of its help shows."""
    _, found, rest = (command.epilog or "").partition("tapeworks ")
    return f"Example: {found}{rest.splitlines()[0]}" if found else ""


def _explain_option(error: click.NoSuchOption, command: click.Command) -> str:
    word = _plain(error.option_name)
    if sentence := INSTEAD.get((command.name or "", word)):
        return f"{error.message} {sentence}"
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
    meant = find_near(word, others | {name: [name] for name in helps})[:1]
    if not meant:
        return f"{error.message} All options: {_path(error.ctx)} --help"
    meaning = helps[meant[0]].partition("[default")[0].strip()
    return f"{error.message} Did you mean --{meant[0]}{f' ({meaning})' if meaning else ''}?"


def _path(context: click.Context | None) -> str:
    return context.command_path if context else "tapeworks"


def _explain_command(error: click.exceptions.NoSuchCommand) -> str:
    word = _plain(error.command_name)
    if word in OTHER_CALLS:
        return f"{error.message} Did you mean {OTHER_CALLS[word]}?"
    meant = find_near(word, OTHER_COMMANDS | {name: [name] for name in COMMANDS})
    if not meant:
        return f"{error.message} All commands: tapeworks --help"
    return f"{error.message} Did you mean {' or '.join(f'tapeworks {name}' for name in meant)}?"


def _plain(word: str) -> str:
    return word.lstrip("-").replace("_", "-").lower()
