"""A claimed run from claim to release: its state in SQL is true however the driving ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from model import datasets
from model.config import RunConfig, run_config
from model.datasets.data import Split
from model.errors import ModelError
from scheduler.control import Control, Keeper
from scheduler.errors import CannotContinueHere, Interrupted, RunFailed
from scheduler.training import evaluate, train
from scheduler.work import Dispatcher
from storage.errors import LeaseLost
from storage.history import History
from storage.records import Claim, EvaluationRecord, IterationRecord, RunState
from workers.chunks import chunked
from workers.crash_points import CrashPoint, crash_point


def _unheard(kind: str, message: str) -> None:
    """Nobody looks on."""


def _nothing() -> None:
    """Nothing else needs to be looked after."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What runs are driven with; the same for one run or for many, one after the other."""

    history: History
    dispatcher: Dispatcher
    control: Control = field(default_factory=Control)
    stopped_state: RunState = RunState.QUEUED  #: of a run that is left before its end
    load: Callable[[RunConfig], Split] = datasets.load
    on_notice: Callable[[str, str], None] = _unheard
    on_tick: Callable[[], None] = _nothing  #: called while waiting; may raise to leave the run

    def drive(self, claim: Claim) -> Iterator[IterationRecord | EvaluationRecord]:
        """Every iteration as it is committed, then the evaluation, if images are held out.

        Raises `RunFailed` when the run ended as failed, `CannotContinueHere` when another machine
        can go on, and storage's `LeaseLost` when another scheduler has taken the run.
        """
        try:
            finished = yield from self._iterations(claim)
            if finished:
                crash_point(CrashPoint.RUN_COMPUTED)
                self.history.finish(claim, RunState.COMPLETED)
                crash_point(CrashPoint.RUN_FINISHED)
            else:
                self._leave(claim, "stopped on request")
        except LeaseLost:
            raise
        except (RunFailed, ModelError) as error:
            self.history.finish(claim, RunState.FAILED, str(error))
            raise RunFailed(str(error)) from error
        except CannotContinueHere as error:
            self.history.release(claim, RunState.PAUSED, str(error))
            raise
        except (Interrupted, GeneratorExit, KeyboardInterrupt):
            self._leave(claim, "stopped on request")
            raise
        except BaseException as error:
            self._leave(claim, str(error) or type(error).__name__)
            raise
        finally:
            self.dispatcher.end(claim.run_id, claim.epoch)

    def _iterations(
        self, claim: Claim
    ) -> Generator[IterationRecord | EvaluationRecord, None, bool]:
        crash_point(CrashPoint.RUN_CLAIMED)
        run = self.history.find_run(claim.run_id)
        config = run_config(run.configuration)
        keeper = Keeper(self.history, claim, self.control, self.on_notice, self.on_tick)
        data = self.load(config)
        self._check_images(claim, run.images_digest, data)
        crash_point(CrashPoint.IMAGES_RECORDED)
        mixed = config.allow_mixed_workers
        self.dispatcher.begin(run.id, config.network, run.fingerprint, allow_mixed=mixed)
        keeper.tick()
        parts = config, claim, self.history, self.dispatcher
        for record in train(*parts, data.training, keeper):
            crash_point(CrashPoint.ITERATION_COMMITTED)
            yield record
            if self.control.draining and record.iteration + 1 < config.iterations:
                return False
        if config.test_images:
            yield evaluate(*parts, data.test, keeper)
        return True

    def _check_images(self, claim: Claim, expected: str | None, data: Split) -> None:
        received = chunked(data.training.images, data.training.labels).digest
        if expected is None:
            self.history.set_images_digest(claim, received)
        elif received != expected:
            raise CannotContinueHere(
                f"Run {claim.run_id} was begun on other images than this machine has: expected "
                f"digest {expected[:16]}. Received: {received[:16]}."
            )

    def _leave(self, claim: Claim, reason: str) -> None:
        self.history.release(claim, self.stopped_state, reason)
