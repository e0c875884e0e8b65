"""A run as JSON values and as lines for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    Metric,
    RunRecord,
    RunStatus,
    best,
    iteration_count,
    loss_text,
    marked_loss,
    short_set,
    sum_words,
)

if TYPE_CHECKING:
    from tapeworks.model.config import RunConfig


#: Characters of a reason in a table.
LONGEST_REASON = 60

#: Of a run's stored settings, what was found out about its network: it follows from the others.
NETWORK_FACTS = "network_facts"


def run_values(history: History, run: RunRecord) -> dict[str, Any]:
    """Everything about a run but its arrays; the digests are what two equal runs share."""
    from tapeworks.model.parameters import history_digest

    losses = [record.loss for record in history.iterations(run.id)]
    return {
        **asdict(run),
        "gradient_form": gradient_form(run),
        "recording_interval": recording_interval(run),
        "tags": history.tags(run.id),
        "history_digest": history_digest(losses),
        "losses": losses,
        "evaluations": [
            {name: value for name, value in asdict(evaluation).items() if name != "run_id"}
            for evaluation in history.evaluations(run.id)
        ],
    }


def run_lines(history: History, run: RunRecord) -> list[tuple[str, str]]:
    """The lines of `show` for a person, as labels and texts."""
    values = run_values(history, run)
    lines = [
        ("run", run.id),
        ("name", run.name or "-"),
        ("status", _status_text(history, run)),
        *_wishes(run, values["tags"]),
        *_network(run),
        ("iterations", f"{run.completed_iterations} of {run.iterations}"),
        ("loss", loss_words(run)),
    ]
    lines += evaluation_lines(history.evaluations(run.id))
    lines += [
        ("created", clock(run.created_at)),
        ("started", clock(run.started_at)),
        ("ended", clock(run.ended_at)),
        ("fingerprint", run.fingerprint or "-"),
        ("parameters", run.parameters_digest),
        ("history", values["history_digest"]),
        ("submitted by", submitter_text(run)),
    ]
    return lines + [(f"  {name}", value) for name, value in setting_texts(run).items()]


def _status_text(history: History, run: RunRecord) -> str:
    """The status, its reason and, of a run that a person stopped, who that was."""
    reason = f": {run.reason}" if run.reason else ""
    stopping = {
        RunStatus.CANCELLED: {"cancelled", "cancel requested"},
        RunStatus.PAUSED: {"paused", "pause requested"},
    }.get(run.status, set[str]())
    told = [event for event in history.events(run.id) if event.kind in stopping and event.actor]
    return f"{run.status.value}{f' by {told[-1].actor}' if told else ''}{reason}"


def loss_words(run: RunRecord) -> str:
    """The losses of the first and of the newest iteration, and what they are the sum over."""
    if run.final_loss is None:
        return "-"
    first, last = _unit(run, run.first_iteration), _unit(run, run.completed_iterations - 1)
    apart = "," if first == last else f"{first};"
    return f"{loss_text(run.first_loss)} at first{apart} {loss_text(run.final_loss)} at last{last}"


def run_losses(values: Mapping[str, Any]) -> dict[str, str]:
    """The losses in a row of the view `runs` for people, as `marked_loss` writes them."""
    first, end = values["parent_iterations"] or 0, values["completed_iterations"]
    return {
        "first_loss": marked_loss(values.get("first_loss"), values, first),
        "final_loss": marked_loss(values.get("final_loss"), values, end - 1),
    }


def _unit(run: RunRecord, iteration: int) -> str:
    config = _config(run)
    if config is None:
        return ""
    images = short_set(run.configuration, iteration) or config.images_in_an_iteration
    return f", {sum_words(images)}"


def submitter_text(run: RunRecord) -> str:
    """The user who submitted it, and where; a dash if that is not known."""
    if run.submitter is None:
        return "-"
    return f"{run.submitter} on {run.submitter_host}" if run.submitter_host else run.submitter


def gradient_form(run: RunRecord) -> str | None:
    """The form in which workers return the run's gradients, also where it was left to `auto`.

    None for stored settings that no driver here can use; likewise `recording_interval`.
    """
    config = _config(run)
    return config.gradient_choice.value if config else None


def recording_interval(run: RunRecord) -> int | None:
    """Iterations from one that is recorded in full to the next, also where their size decides."""
    config = _config(run)
    return config.recording_interval if config else None


def _config(run: RunRecord) -> RunConfig | None:
    """The run's settings, which another program or version may have stored; None if of no use."""
    from tapeworks.model.config import restore_config
    from tapeworks.model.errors import ConfigurationError

    try:
        return restore_config(run.configuration)
    except ConfigurationError:
        return None


def evaluation_lines(evaluations: Sequence[EvaluationRecord]) -> list[tuple[str, str]]:
    """The newest evaluation and, of several, the best; all of them are in the JSON."""
    if not evaluations:
        return []
    lines = [_newest(evaluations[-1])]
    surest, lowest = best(evaluations, Metric.ACCURACY), best(evaluations, Metric.LOSS)
    if len(evaluations) > 1:
        if surest:
            lines.append(
                ("best held-out accuracy", f"{share_text(surest.accuracy)} {_after(surest)}")
            )
        if lowest:
            lines.append(("best held-out loss", f"{loss_text(lowest.loss)} {_after(lowest)}"))
    return lines


def _newest(evaluation: EvaluationRecord) -> tuple[str, str]:
    name, number = evaluation_words(evaluation)
    loss = "" if evaluation.accuracy is None else f", loss {loss_text(evaluation.loss)}"
    images = f"{evaluation.images} images"
    return f"held-out {name}", f"{number} of {images} {_after(evaluation)}{loss}"


def evaluation_words(evaluation: EvaluationRecord) -> tuple[str, str]:
    """A name and a number: the accuracy on held-out images, or the loss if nothing is predicted."""
    if evaluation.accuracy is None:
        return "loss", loss_text(evaluation.loss)
    return "accuracy", share_text(evaluation.accuracy)


def short_reason(reason: str | None) -> str:
    """The first of the things that a reason of a run's status says, or its beginning."""
    if reason is None:
        return "-"
    first = re.split(r"; |\. |: expected ", reason)[0].rstrip(".")
    return first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 1]}…"


def share_text(share: float | None) -> str:
    """An accuracy in percent; a dash where the network predicts nothing."""
    return "-" if share is None else f"{share:.1%}"


def _after(evaluation: EvaluationRecord) -> str:
    return f"after {iteration_count(evaluation.completed_iterations)}"


def _network(run: RunRecord) -> list[tuple[str, str]]:
    """The network of the user's own that it trains, if it is one, with its digest."""
    if run.network_digest is None:
        return []
    return [("network", f"{run.configuration.get('network', '-')}, {run.network_digest}")]


def _wishes(run: RunRecord, tags: dict[str, str]) -> list[tuple[str, str]]:
    """Labels and texts that people gave the run; those that are empty are left out."""
    begins = f"{run.parent_id}, after {iteration_count(run.first_iteration)}"
    told = {
        "asked to": run.request and run.request.value,
        "priority": run.priority and str(run.priority),
        "tags": ", ".join(f"{key}={value}" for key, value in tags.items()),
        "note": run.note,
        "begun from": run.parent_id and begins,
    }
    return [(label, text) for label, text in told.items() if text]


def as_json(value: Any) -> str:
    """JSON with times in ISO 8601."""
    return json.dumps(value, indent=2, default=_plain)


def clock(moment: datetime | None) -> str:
    """A time as this machine's people read it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


def size(count: int) -> str:
    """Bytes as people read them."""
    if count < 1000:
        return f"{count} bytes"
    value, units = count / 1000, iter(("kB", "MB", "GB"))
    unit = next(units)
    while value >= 999.95 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def setting_text(value: Any) -> str:
    """A setting's value as it is written on the command line; a dash where there is none."""
    if value is None:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def spread_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with each option of the network as one of them, without the network's facts."""
    spread = {name: value for name, value in settings.items() if name != NETWORK_FACTS}
    options = spread.pop("options", None) or {}
    return spread | {f"option.{name}": value for name, value in options.items()}


def setting_texts(run: RunRecord) -> dict[str, str]:
    """The stored settings; those that were left open show what they come to."""
    from tapeworks.model.networks.builtin.spec import Architecture

    settings = spread_options(run.configuration)
    if run.network_digest is not None:  # which reads no setting of the built-in network
        settings = {k: v for k, v in settings.items() if k not in Architecture.model_fields}
    texts = {name: setting_text(value) for name, value in settings.items()}
    decided = {"gradients": gradient_form(run), "record_images_every": recording_interval(run)}
    for name, value in decided.items():
        if value and texts.get(name, "-") in {"auto", "-"}:
            texts[name] = f"{value} (auto)"
    return texts


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def duration_text(seconds: float, digits: int = 0) -> str:
    """A length of time in its two largest units; with digits after the point below a minute."""
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
