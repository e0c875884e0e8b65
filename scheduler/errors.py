"""Errors that can end a run, or a scheduler's hold on it."""

from __future__ import annotations

from tapeworks.model.errors import ModelError
from tapeworks.storage.errors import CheckpointDamaged, NetworkDamaged, NotFound, StorageError
from tapeworks.wire.errors import WorkersError


class SchedulerError(Exception):
    """Base of the errors of this room."""


class RunFailed(SchedulerError):
    """The run cannot go on, now or later; the message becomes its reason."""


class Diverged(RunFailed):
    """A loss or a gradient is no number any more."""


class AnswerInvalid(SchedulerError):
    """An answer is not what its shard asked for; it is not counted."""


class CannotContinueHere(SchedulerError):
    """This machine would give other bits than the run began with; elsewhere it can go on."""


class ServiceFailed(SchedulerError):
    """A running scheduler met what it cannot go on with; started again it may."""


class Undecided(CannotContinueHere):
    """The only worker that is here says what would end the run; another one has to agree."""


class CannotReplay(SchedulerError):
    """Nobody promised that the run has the same bits when it is computed again."""


class Interrupted(SchedulerError):
    """The user asked to stop at once; what is committed stays."""


class Requested(SchedulerError):
    """A person wants the run paused or cancelled."""


class GivenBack(SchedulerError):
    """No living worker can go on with the run, and others that are queued could be computed."""


class Unreleased(Interrupted):
    """The user did not wait for the database, so the run could not be given up in it."""

    def __init__(self, run_id: str, lease_seconds: float) -> None:
        super().__init__(
            f"Stopped while the database could not be used. Run {run_id} still counts as running "
            f"there; it can be taken over when its lease is over, {lease_seconds:g} seconds after "
            "its last renewal. What is committed is kept."
        )


#: Says that one run cannot go on as it stands, until a person has fixed the cause: its data set,
#: its configuration, its network or its checkpoint cannot be read, or it needs another machine.
OF_ONE_RUN = (CannotContinueHere, ModelError, NotFound, CheckpointDamaged, NetworkDamaged)

#: Concerns all runs alike, as far as it is none of those above.
OF_ALL_RUNS = (StorageError, WorkersError)


def other_bits(run_id: str, expected: str | None, received: str | None) -> CannotContinueHere:
    """The error for a run that would go on with another fingerprint."""
    return CannotContinueHere(
        f"Run {run_id} began on machines with fingerprint {expected}; this one has {received} "
        "and would give other bits. Resume or replay it on such a machine."
    )


def other_order(run_id: str, expected: str, received: str | None) -> CannotContinueHere:
    """The error for a run whose sums were made in another order than this version's."""
    return CannotContinueHere(
        f"Run {run_id} was computed with another order of sums than here, and would get other "
        f"bits: expected {expected!r}. Received: {received or 'none'}. Go on with the version of "
        "Tapeworks that began it, or submit it again."
    )


def other_images(run_id: str, expected: str, received: str) -> CannotContinueHere:
    """The error for a run that would go on with other images."""
    return CannotContinueHere(
        f"Run {run_id} began on other images than this machine has: expected digest "
        f"{expected[:16]}. Received: {received[:16]}."
    )


def divergence_error(iteration: int) -> Diverged:
    """The error for a loss or gradient that is no number."""
    return Diverged(
        f"The loss or a gradient became NaN or infinite in iteration {iteration}; "
        "a smaller learning rate may help."
    )
