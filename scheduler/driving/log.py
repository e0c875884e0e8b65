"""The lines that a scheduler logs about its runs."""

from __future__ import annotations

import logging
import math
import time

from tapeworks.scheduler.events import (
    AnswerJudged,
    AttemptSent,
    EvaluationStored,
    Event,
    ImagesPublished,
    IterationAnnounced,
    IterationCommitted,
    IterationComputed,
    Notice,
    RunAnnounced,
    RunClaimed,
    RunLeft,
    RunReleased,
)
from tapeworks.storage.records import (
    EvaluationRecord,
    IterationRecord,
    RunRecord,
    iteration_count,
    loss_text,
)
from tapeworks.storage.usual_images import UsualImages
from tapeworks.wire.log_context import context

logger = logging.getLogger(__name__)

#: Seconds between two lines about iterations.
LINE_SECONDS = 5.0

#: Kinds of notices that are no warnings.
GOOD_NEWS = {"going_on", "database_back"}


class Log:
    """Logs what happens to runs; drivers may share one."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}  #: of runs in progress
        self._measured: dict[str, str] = {}  #: of runs in progress, as evaluated last
        self._labels: dict[str, str] = {}  #: of runs in progress
        self._names: dict[str, str | None] = {}  #: of runs in progress
        self._usual: dict[str, UsualImages] = {}  #: of runs in progress

    def __call__(self, event: Event) -> None:
        """Log a line, if the event is worth one."""
        match event:
            case Notice():
                level = logging.INFO if event.kind in GOOD_NEWS else logging.WARNING
                extra = {"event": event.kind, "worker": event.worker}
                logger.log(level, self._attribute(event.message), extra=extra)
            case RunClaimed(claim=claim):
                self._labels[claim.run_id] = claim.label
                self._names[claim.run_id] = claim.name
                about = self._about("run_begins", claim.run_id, claim.term)
                logger.info("Run %s begins", claim.label, extra=about)
            case EvaluationStored(run_id=run_id, record=record):
                self._measured[run_id] = _describe(record)
            case IterationCommitted(record=record):
                self._log_iteration(record)
            case RunLeft(run_id=run_id):
                self._labels.pop(run_id, None)
                self._names.pop(run_id, None)
                self._said_at.pop(run_id, None)
                self._usual.pop(run_id, None)
            case RunReleased(run=run):
                self._log_end(run)
            case _ if logger.isEnabledFor(logging.DEBUG):
                _log_detail(event)

    def _attribute(self, sentence: str) -> str:
        """Put the run of this thread before a sentence that does not name it."""
        label = self._labels.get(str(context().get("run")))
        return sentence if label is None or label in sentence else f"Run {label}: {sentence}"

    def _about(self, event: str, run_id: str, term: int) -> dict[str, object]:
        name = self._names.get(run_id)
        return {"event": event, "run": run_id, "run_name": name, "term": term}

    def _log_end(self, run: RunRecord) -> None:
        self._names[run.id] = run.name
        if measured := self._measured.pop(run.id, ""):
            extra = self._about("run_evaluated", run.id, run.term)
            logger.info("Run %s: %s", run.label, measured, extra=extra)
        loss = "" if run.final_loss is None else f", loss {run.last_loss}"
        done = f"{iteration_count(run.completed_iterations)}{loss}"
        status = run.status.value
        extra = self._about(f"run_{status}", run.id, run.term)
        logger.info("Run %s is %s after %s", run.label, status, done, extra=extra)
        self._names.pop(run.id)

    def _log_iteration(self, record: IterationRecord) -> None:
        """Log a line now and then, which is enough for people, of each run alike."""
        now, pause = time.monotonic(), LINE_SECONDS * len(self._labels)
        if now - self._said_at.get(record.run_id, -math.inf) <= pause:
            level = logging.DEBUG
        else:
            level, self._said_at[record.run_id] = logging.INFO, now
        done = f"iteration {record.iteration + 1}, loss {self._loss(record)}"
        measured = self._measured.get(record.run_id, "")
        label = self._labels.get(record.run_id, record.run_id)
        sentence = f"Run {label}: {', '.join(filter(None, [done, measured]))}"
        extra = self._about("iteration_committed", record.run_id, record.term)
        logger.log(level, sentence, extra={**extra, "iteration": record.iteration})

    def _loss(self, record: IterationRecord) -> str:
        """The loss, with its images where an iteration of the run had more."""
        usual = self._usual.setdefault(record.run_id, UsualImages())
        usual.rise(record.images)
        return usual.loss(record)


def _log_detail(event: Event) -> None:
    match event:
        case AttemptSent(key=key):
            _debug(
                "attempt_sent", "Attempt %s is sent", key.id, shard=key.shard, attempt=key.attempt
            )
        case AnswerJudged(attempt_id=attempt, verdict=verdict, worker=worker):
            sentence = "The answer to attempt %s: %s"
            _debug(f"answer_{verdict}", sentence, attempt, verdict, worker=worker)
        case RunAnnounced():
            _debug("run_announced", "Run %s is announced to workers", event.run_id)
        case ImagesPublished():
            _debug("images_published", "The images of run %s are in Redis", event.run_id)
        case IterationAnnounced():
            _debug("iteration_announced", "Iteration %d is announced", event.iteration)
        case IterationComputed():
            _debug("iteration_computed", "Iteration %d is computed", event.iteration)


def _debug(event: str, sentence: str, *arguments: object, **about: object) -> None:
    logger.debug(sentence, *arguments, extra={"event": event, **about})


def _describe(evaluation: EvaluationRecord) -> str:
    """The accuracy, or the mean loss of a network that predicts nothing."""
    if evaluation.accuracy is None:
        return f"mean loss {loss_text(evaluation.loss / evaluation.images)} on held-out images"
    return f"accuracy {evaluation.accuracy:.1%} on held-out images"
