"""A run's evaluations between its iterations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.networks.prepare import OF_IMAGES
from tapeworks.scheduler.cadence import is_evaluated, reason_to_stop
from tapeworks.scheduler.dispatch.contract import Dispatcher, Watcher
from tapeworks.scheduler.training import evaluate
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, EvaluationRecord, RunRecord


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """Those of a claimed run. What is stored decides, not who was there when it was measured."""

    config: RunConfig
    claim: Claim
    history: History
    dispatcher: Dispatcher
    held_out: ImageData
    watcher: Watcher

    def catch_up(self, completed_iterations: int) -> str | None:
        """Evaluate the newest parameters, if that is due and not stored yet.

        Returns why the run is completed early, or None. An evaluation is not stored yet when its
        iteration was committed by an owner that did not live to do it.
        """
        if not is_evaluated(self.config, completed_iterations):
            return None
        known = self.history.evaluations(self.claim.run_id)
        if not known or known[-1].completed_iterations < completed_iterations:
            parts = self.config, self.claim, self.history, self.dispatcher
            known.append(evaluate(*parts, self.held_out, self.watcher))
        by_place = {one.completed_iterations: one for one in [*self._inherit_evaluations(), *known]}
        return reason_to_stop(self.config, list(by_place.values()))

    def _inherit_evaluations(self) -> list[EvaluationRecord]:
        """Return the evaluations before a retry's first iteration that its patience goes on from.

        They count where they are of the same held-out images. A run that goes on from where they
        would have ended it was asked for more: its patience begins again.
        """
        if not self.config.patience:
            return []
        run = self.history.find_run(self.claim.run_id)
        inherited = [
            evaluation
            for ancestor, evaluation in self.history.list_inherited_evaluations(run)
            if _image_settings(ancestor) == _image_settings(run)
        ]
        return [] if reason_to_stop(self.config, inherited) else inherited


def _image_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that decide which images are held out."""
    return {name: run.configuration.get(name) for name in (*OF_IMAGES, "test_images")}
