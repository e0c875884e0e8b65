"""Runs that are submitted over HTTP: by programs and by the page's forms.

Code is not taken this way, and none is run: a user's network is submitted on the command line. Nor
does anybody's request fill memory or disk with initial parameters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapeworks.model.config import RunConfig
from tapeworks.model.environment import expand_home
from tapeworks.model.errors import ConfigurationError, NetworkNotAllowed
from tapeworks.scheduler.queueing import check_queued
from tapeworks.scheduler.submission import grid, new_runs, prepare_runs, retry
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tapeworks.storage.references import validate_name
from tapeworks.storage.submissions import SubmissionKey
from tapeworks.web.slots import MOST_CHECKS, Slots

#: Bytes of the initial parameters of all runs of one request.
MOST_PARAMETER_BYTES = 2**28

#: Requests that read a data set to check their runs, and the seconds for which others wait.
CHECKS, PATIENCE_SECONDS = Slots(MOST_CHECKS, "submissions"), 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The runs that a request asks for."""

    #: Settings; all others have their defaults.
    config: Mapping[str, Any]
    #: Choices for settings: a run for every combination.
    vary: Mapping[str, Iterable[Any]] = field(default_factory=dict)
    #: Status, name, tags, note and priority.
    described: Mapping[str, Any] = field(default_factory=dict)


def key_of_form(given: Mapping[str, str], place: str = "") -> SubmissionKey | None:
    """The key of a page's form and all that is in it; None of a client that has none.

    A double click and a reload send the same again; the same page with other settings is a new run.
    """
    if not given.get("key"):
        return None
    asked = json.dumps([place, sorted(given.items())])
    digest = hashlib.sha256(asked.encode(errors="backslashreplace")).hexdigest()
    return SubmissionKey(key=f"form-{digest}", digest=digest)


def submit_runs(
    history: History, wanted: Wanted, key: SubmissionKey | None = None
) -> list[RunRecord]:
    """Store the runs, all or none of them, or return those that the key stands for.

    Raises like `Client.submit_grid`, and `NetworkNotAllowed` for a network of a user's.
    """
    if key and (known := history.queue.find_submission(key)):
        return known
    described = dict(wanted.described)
    name = validate_name(described.pop("name", None))
    configs = grid(wanted.config, wanted.vary)
    check_configs(configs)
    prepared = prepare_runs(configs)
    with CHECKS.hold(PATIENCE_SECONDS):
        check_queued(prepared)
    new = new_runs(prepared, name=name, is_grid=bool(wanted.vary), **described)
    return history.queue.submit(new, key)


def retry_run(
    history: History,
    run: RunRecord,
    *,
    after: int | None,
    changes: Mapping[str, Any],
    key: SubmissionKey | None = None,
    **described: Any,
) -> RunRecord:
    """Store a run of the run's configuration with changes, or return that of the key.

    A run of a user's network is retried with its stored source as long as nothing changes that it
    is checked for; otherwise raises `NetworkNotAllowed`.
    """
    if key and (known := history.queue.find_submission(key)):
        return known[0]
    _check_paths(changes)
    with CHECKS.hold(PATIENCE_SECONDS):
        return retry(
            history, run, after=after, changes=changes, key=key, may_run_code=False, **described
        )


def check_configs(configs: Sequence[RunConfig]) -> None:
    """Raise `NetworkNotAllowed` or `ConfigurationError` for what is not taken over HTTP."""
    for config in configs:
        if not config.is_built_in:
            raise NetworkNotAllowed(
                "A network's code is not taken over HTTP. Submit the run on the command line: "
                f"tapeworks submit --network FILE. Received: network={config.network}"
            )
        _check_paths({"dataset": config.dataset, "data_dir": config.data_dir})
    size = sum(4 * config.spec.parameter_count for config in configs)
    if size > MOST_PARAMETER_BYTES:
        raise ConfigurationError(
            f"Expected initial parameters of at most {MOST_PARAMETER_BYTES / 1e6:,.0f} MB in one "
            f"request. Received: runs of {size / 1e6:,.0f} MB; submit fewer at a time."
        )


def _check_paths(settings: Mapping[str, Any]) -> None:
    """Refuse relative paths: no client can know what they would be relative to."""
    for name in ("dataset", "data_dir"):
        path = settings.get(name)
        is_path = isinstance(path, str) and (name == "data_dir" or path.lower().endswith(".npz"))
        if path and is_path and not Path(expand_home(path)).is_absolute():
            raise ConfigurationError(
                f"Expected an absolute path, of the machines of the schedulers. "
                f"Received: {name}={path}."
            )
