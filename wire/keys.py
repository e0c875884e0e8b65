"""The keys of Redis that are ours, what lies there, and for how long."""

from __future__ import annotations

from tapeworks.wire.envelopes import QUEUE, queue_name

#: Every key of ours starts with it.
PREFIX = "tapeworks:"

#: Lifetimes in seconds. What expires while it is still needed is published again.
IMAGES_SECONDS = 3600
SOURCE_SECONDS = 3600
PARAMETERS_SECONDS = 600
#: Of the parameters of an iteration that is over: another run may have the same ones.
RETIRED_SECONDS = 2
ANSWER_SECONDS = 600
RUN_SECONDS = 3600
WORKER_SECONDS = 5
SCHEDULER_SECONDS = 5
IN_PROGRESS_SECONDS = 5


def payload_key(content_digest: str) -> str:
    """Images or parameters, named by what they are."""
    return f"{PREFIX}payload:{content_digest}"


def answer_key(attempt_id: str) -> str:
    """Lines of a signature (empty without a key) and a header (JSON), then arrays (safetensors)."""
    return f"{PREFIX}answer:{attempt_id}"


def withdrawn_key(attempt_id: str) -> str:
    """There if nobody needs an answer to this attempt any more."""
    return f"{PREFIX}withdrawn:{attempt_id}"


def arrivals_key(run_id: str) -> str:
    """List of the attempts that have answered, to this owner of the run or to an earlier one."""
    return f"{PREFIX}arrivals:{run_id}"


def current_key(run_id: str) -> str:
    """The `term:iteration` that the run stands at; advisory, spares work on stale messages."""
    return f"{PREFIX}current:{run_id}"


def quarantine_key(run_id: str) -> str:
    """Set of the workers that are quarantined for the run."""
    return f"{PREFIX}quarantined:{run_id}"


def in_progress_key(run_id: str) -> str:
    """There as long as some scheduler drives the run."""
    return f"{PREFIX}in-progress:{run_id}"


def network_key(run_id: str) -> str:
    """The network of a run in progress, for workers that start in the middle of it."""
    return f"{PREFIX}network:{run_id}"


def source_key(source_digest: str) -> str:
    """The source text of a user's network by its digest, sealed: only where there is a key."""
    return f"{PREFIX}source:{source_digest}"


def worker_key(name: str) -> str:
    """A worker's latest record."""
    return f"{PREFIX}worker:{name}"


def scheduler_key(name: str) -> str:
    """A scheduler's latest record."""
    return f"{PREFIX}scheduler:{name}"


def queue_key(fingerprint: str | None) -> str:
    """List of messages that no worker of this fingerprint (None: of any) has taken."""
    return f"{PREFIX}{queue_name(fingerprint)}"


WORKERS_KEY = f"{PREFIX}workers"  #: set of the workers' names
SCHEDULERS_KEY = f"{PREFIX}schedulers"  #: set of the schedulers' names
RUNS_KEY = f"{PREFIX}runs"  #: set of the runs in progress
QUEUE_KEY = f"{PREFIX}{QUEUE}"  #: list of messages for any worker that none has taken
