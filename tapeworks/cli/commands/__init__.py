"""The commands, by what people do with them."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """The module that holds `<name>_command`, and the line of it in the list of all commands."""

    module: str
    help: str


#: The commands in the order of the help, whose list is shown without loading any of them.
COMMANDS = {
    "train": Place(
        "train",
        "Train on this machine: in this process, or with a queue and worker processes of its own.",
    ),
    "submit": Place("submit", "Queue a run; a scheduler with the same database takes it."),
    "check-network": Place(
        "network", "Check a network of your own on its data, and show what was found."
    ),
    "pause": Place("change", "Stop runs when they next commit, until they are resumed."),
    "resume": Place(
        "change", "Queue paused runs again; they go on where they stopped, to the same bits."
    ),
    "cancel": Place("change", "End runs for good; what is committed stays in the history."),
    "priority": Place(
        "change", "Set the PRIORITY of runs: a higher one is taken first; new runs have 0."
    ),
    "describe": Place(
        "change", "Change the name, the note and the tags of runs, also of those that have ended."
    ),
    "retry": Place(
        "submit", "Queue a run's configuration again, from its beginning or from a checkpoint."
    ),
    "delete": Place("change", "Remove runs with all their history and parameters."),
    "scheduler": Place(
        "scheduler", "Drive queued runs with the workers of one Redis, until Ctrl-C."
    ),
    "worker": Place(
        "worker", "Compute shards for the scheduler that uses the same Redis, until Ctrl-C."
    ),
    "workers": Place(
        "worker",
        "Show the living workers, what each has in hand, and the runs that do not trust it.",
    ),
    "fingerprint": Place(
        "fingerprint",
        "Show this machine's fingerprint: machines with the same one compute the same bits.",
    ),
    "runs": Place(
        "find",
        "List the runs, newest first: all, or those that fulfil everything that is asked for.",
    ),
    "query": Place("find", "Print what one SELECT finds."),
    "show": Place(
        "show", "Show a run's settings, status, losses and digests, or its events or ledger."
    ),
    "watch": Place(
        "watch", "Follow runs until all have ended or are paused; Ctrl-C leaves the runs alone."
    ),
    "web": Place("web", "Show runs in a browser, and serve them over REST, until Ctrl-C."),
    "compare": Place("compare", "Show what tells runs apart: differing settings, losses, digests."),
    "plot": Place("plot", "Draw runs, and print the path of the picture."),
    "images": Place(
        "images", "List the images of a run with the highest losses, or those with these numbers."
    ),
    "export": Place(
        "export", "Write runs' histories, or a run's parameters or network, to a file."
    ),
    "evaluate": Place(
        "trained",
        "Measure loss and accuracy of a run's parameters on images that it was not trained on.",
    ),
    "predict": Place(
        "trained", "Tell what images show: the likeliest label, and a probability for every class."
    ),
    "replay": Place(
        "replay", "Compute a run's iterations again and compare every bit with its history."
    ),
    "gc": Place(
        "admin",
        "Remove checkpoints of runs that ended long ago, but for the initial and the newest ones.",
    ),
    "doctor": Place(
        "doctor", "Check settings, Redis, workers, schedulers, database, clocks and data sets."
    ),
    "health": Place(
        "health", "Check that this machine's worker or scheduler is alive: exit code 0 or 1."
    ),
    "secrets": Place(
        "admin", "Make the secrets of a deployment in DIRECTORY, and the file of its Redis users."
    ),
    "db": Place("admin", "The database's schema, size and backup."),
}
