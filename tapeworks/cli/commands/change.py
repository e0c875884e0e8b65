"""`tapeworks pause`, `resume`, `cancel`, `priority`, `describe` and `delete`: change runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import click

from tapeworks.cli.completion import complete_run_or_grid, complete_tag, complete_tag_key
from tapeworks.cli.connection import open_history
from tapeworks.cli.descriptions import pairs, priority_type
from tapeworks.cli.outputs.describe import as_json, submitter_text
from tapeworks.cli.outputs.printing import put, put_lines, say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.storage.actors import own_actor
from tapeworks.storage.errors import RunNotFound, StateConflict
from tapeworks.storage.glances import find_named
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tapeworks.storage.run_queue import Noted, Queue

#: The argument that names one or several runs.
runs_argument = click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run_or_grid
)

#: The words for the history.
reason_option = click.option("--reason", help="why, for the history")

yes_option = click.option("--yes", is_flag=True, help="do not ask")

json_option = click.option("--json", is_flag=True, help="print JSON")

#: Runs that a question names at most, and reasons in a refusal.
MOST_NAMED, MOST_REASONS = 10, 3

#: What is done to one run.
Change = Callable[[Queue, str], RunRecord]

#: The runs that are meant, by what was typed for them.
Named = Mapping[str, Sequence[RunRecord]]


def change_runs(
    references: Sequence[str],
    json: bool,
    change: Change,
    check: Callable[[Sequence[RunRecord]], None] = lambda _: None,
) -> int:
    """Find the runs, change all of them or none, and say where each stands.

    Runs of a grid that do not fit are left out, if others of it do. `check` raises for runs that
    are not to be changed.
    """
    history = open_history()
    history.release_abandoned()
    named = _find_named(history, references)
    found = _each_once(named)
    check(found)
    with history.queue.as_one(run.id for run in found) as queue:
        changed, refused = list[RunRecord](), dict[str, StateConflict]()
        for run in found:
            try:
                changed.append(change(queue, run.id))
            except StateConflict as error:
                refused[run.id] = error
        _check_refused(named, refused, "Nothing was changed.")
    if json:
        put(as_json([asdict(run) for run in changed]))
    else:
        for run in changed:
            put(_sentence(run))
    _tell_left_out(named, refused)
    return ExitCode.DONE


def _find_named(history: History, references: Sequence[str]) -> Named:
    try:
        return {reference: find_named(history.database, reference) for reference in references}
    except RunNotFound:
        if references[0] in {"run", "runs"} and references[1:]:
            call = f"{click.get_current_context().command_path} {references[1]}"
            raise UsageError(f"Leave out the word {references[0]}: {call}") from None
        raise


def _each_once(named: Named) -> list[RunRecord]:
    """The runs in the order of the call."""
    return list({run.id: run for run in chain.from_iterable(named.values())}.values())


def _check_refused(named: Named, refused: Mapping[str, StateConflict], outcome: str) -> None:
    """Raise `StateConflict` for a run that was named itself, and for a grid of which none fits."""
    unfit = [runs for runs in named.values() if all(run.id in refused for run in runs)]
    wrong = list(dict.fromkeys(run.id for run in chain.from_iterable(unfit)))
    if not wrong:
        return
    told = [str(refused[run_id]) for run_id in wrong[:MOST_REASONS]]
    if len(wrong) > MOST_REASONS:
        told.append(f"{len(wrong) - MOST_REASONS} more likewise.")
    if len(_each_once(named)) > 1:
        told.append(outcome)
    raise StateConflict(" ".join(told))


def _tell_left_out(named: Named, refused: Mapping[str, StateConflict]) -> None:
    for reference, runs in named.items():
        left = [run for run in runs if run.id in refused]
        if left:
            counted = Counter(run.status.value for run in left).items()
            words = ", ".join(f"{count} {status}" for status, count in counted)
            be = "is" if len(left) == 1 else "are"
            say(f"{len(left)} of {len(runs)} runs of {reference} {be} left unchanged: {words}")


def _sentence(run: RunRecord) -> str:
    if run.status is RunStatus.RUNNING and run.request:
        return f"Run {run.id} is running; its scheduler will have it {run.request.status}"
    priority = f", priority {run.priority}" if run.priority else ""
    return f"Run {run.id} is {run.status}{priority}"


@click.command("pause", epilog='Example: tapeworks pause first --reason "the machines are needed"')
@runs_argument
@reason_option
@json_option
def pause_command(runs: tuple[str, ...], reason: str | None, json: bool) -> int:
    """Stop runs when they next commit, until they are resumed.

    That is after the iteration in progress; of short ones, after half a second of them. A queued
    run is not taken any more. RUN is an id, a unique prefix of one, a name, or the name of a grid,
    which means those of its newest runs that have not ended or been paused.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.pause(run_id, reason))


@click.command("resume", epilog="Example: tapeworks resume first")
@runs_argument
@json_option
def resume_command(runs: tuple[str, ...], json: bool) -> int:
    """Queue paused runs again; they go on where they stopped, to the same bits.

    RUN is an id, a unique prefix of one, a name, or the name of a grid, which means those of its
    newest runs that are paused.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.resume(run_id))


@click.command("cancel", epilog='Example: tapeworks cancel first --reason "wrong data set"')
@runs_argument
@reason_option
@yes_option
@json_option
def cancel_command(runs: tuple[str, ...], reason: str | None, yes: bool, json: bool) -> int:
    """End runs for good; what is committed stays in the history.

    A run that is being driven ends when it next commits, as with pause. RUN is an id, a unique
    prefix of one, a name, or the name of a grid, which means those of its newest runs that have not
    ended. Runs of other users are asked about.
    """

    def check(found: Sequence[RunRecord]) -> None:
        own = {None, own_actor().user}
        others = [run for run in found if run.submitter not in own and not run.status.is_finished]
        if others and not yes:
            _confirm("This ends for good", "of others", others, "Cancel?", "cancelled")

    return change_runs(runs, json, lambda queue, run_id: queue.cancel(run_id, reason), check)


@click.command(
    "priority",
    context_settings={"ignore_unknown_options": True},  # -5 is a priority
    epilog="Example: tapeworks priority 10 urgent",
)
@click.argument("priority", type=priority_type)
@runs_argument
@json_option
def priority_command(priority: int, runs: tuple[str, ...], json: bool) -> int:
    """Set the PRIORITY of runs: a higher one is taken first; new runs have 0.

    A run that is being driven keeps its scheduler. RUN is an id, a unique prefix of one, a name, or
    the name of a grid, which means those of its newest runs that have not ended.
    """
    return change_runs(runs, json, lambda queue, run_id: queue.set_priority(run_id, priority))


@click.command("describe", epilog='Example: tapeworks describe first --note "the best yet"')
@runs_argument
@click.option("--name", help="what to call it; an empty one removes it")
@click.option("--note", help="a line to remember; an empty one removes it")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_tag,
    help="to find it by, beside its other tags; may be repeated",
)
@click.option(
    "--untag",
    multiple=True,
    metavar="KEY",
    shell_complete=complete_tag_key,
    help="remove the tag of this key; may be repeated",
)
@json_option
def describe_command(
    runs: tuple[str, ...],
    name: str | None,
    note: str | None,
    tags: tuple[str, ...],
    untag: tuple[str, ...],
    json: bool,
) -> int:
    """Change the name, the note and the tags of runs, also of those that have ended.

    RUN is an id, a unique prefix of one, a name, or the name of a grid: its newest runs. To see
    what is known of a run: tapeworks show RUN.
    """
    added = pairs(tags, "--tag")
    noted: Noted = {}
    if name is not None:
        noted["name"] = name or None
    if note is not None:
        noted["note"] = note or None
    if not (noted or added or untag):
        raise UsageError(
            f"Expected --name, --note, --tag or --untag. To see a run: tapeworks show {runs[0]}"
        )
    history = open_history()
    history.release_abandoned()
    found = _each_once(_find_named(history, runs))
    if name and len(found) > 1:
        raise UsageError(f"Expected one run to be called {name}. Received: {len(found)} runs")
    _check_keys(history, found, untag, added)
    described = list[dict[str, Any]]()
    with history.queue.as_one(run.id for run in found) as queue:
        for run in found:
            left = queue.tag(run.id, added, without=untag)
            described.append(asdict(queue.describe(run.id, **noted)) | {"tags": left})
    if json:
        put(as_json(described))
    else:
        put_lines(map(_description, described))
    return ExitCode.DONE


def _check_keys(
    history: History,
    found: Sequence[RunRecord],
    untag: Sequence[str],
    added: Mapping[str, str],
) -> None:
    """Raise `UsageError` for keys to remove that none of the runs has, or that are added too."""
    keys = {key for run in found for key in history.tags(run.id)}
    for key in untag:
        if key in added:
            raise UsageError(f"Expected --tag or --untag of a key. Received: both of {key}")
        if key not in keys:
            have = f"tags: {', '.join(sorted(keys))}" if keys else "no tag"
            raise UsageError(f"Expected --untag of a key that is there. Received: {key}; {have}")


def _description(run: Mapping[str, Any]) -> str:
    tags = ", ".join(f"{key}={value}" for key, value in run["tags"].items())
    note = f"note: {run['note']}" if run["note"] else "no note"
    label = f"{run['id']} ({run['name']})" if run["name"] else run["id"]
    return f"Run {label} has {f'tags: {tags}' if tags else 'no tags'}; {note}"


@click.command("delete", epilog="Example: tapeworks delete first --yes")
@runs_argument
@yes_option
def delete_command(runs: tuple[str, ...], yes: bool) -> int:
    """Remove runs with all their history and parameters. A running one is refused.

    RUN is an id, a unique prefix of one, a name, or the name of a grid: its newest runs. If one is
    refused, none is removed. Prints the ids.
    """
    history = open_history()
    history.database.check_writable()  # before anybody is asked
    history.release_abandoned()
    found = _each_once(_find_named(history, runs))
    newest_first = sorted(found, key=lambda run: run.created_at, reverse=True)  # heirs go before
    _check_deletable(history.queue, found)
    if not yes:
        _confirm("This removes for good", "", found, "Remove?", "removed")
    for run in newest_first:
        history.queue.delete(run.id)
        put(run.id)
    return ExitCode.DONE


def _check_deletable(queue: Queue, found: Sequence[RunRecord]) -> None:
    """Raise `StateConflict` if one of them stays."""
    refused = dict[str, StateConflict]()
    for run in found:
        try:
            queue.expect_deletable(run.id, beside=[one.id for one in found])
        except StateConflict as error:
            refused[run.id] = error
    _check_refused({run.id: [run] for run in found}, refused, "Nothing was removed.")


def _confirm(
    heading: str, whose: str, found: Sequence[RunRecord], question: str, done: str
) -> None:
    """Say how many runs and whose, and ask once. Raises without a terminal or a yes."""
    counted = Counter(map(submitter_text, found)).most_common()
    owners = ", ".join(f"{count} of {who}" for who, count in counted)
    runs = f"{len(found)} {'run' if len(found) == 1 else 'runs'} {whose}".strip()
    say(f"{heading} {runs}: {owners}")
    for run in found[:MOST_NAMED]:
        say(f"  {run.label}, of {submitter_text(run)}")
    if len(found) > MOST_NAMED:
        say(f"  and {len(found) - MOST_NAMED} more")
    if not sys.stdin.isatty():
        raise UsageError(f"Nothing was {done}: no terminal to ask at; confirm with --yes.")
    if not _is_confirmed(question):
        raise UsageError(f"Nothing was {done}.")


def _is_confirmed(question: str) -> bool:
    """Ask; the end of the input counts as a no. Raises `click.Abort` at Ctrl-C."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            return False
        raise
