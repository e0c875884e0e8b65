"""What can end a run, or a scheduler's hold on it."""


class SchedulerError(Exception):
    """Base of the errors of this room."""


class RunFailed(SchedulerError):
    """The run cannot go on, now or later; the message becomes its reason."""


class AnswerInvalid(SchedulerError):
    """An answer is not what its shard asked for; it is not counted."""


class CannotContinueHere(SchedulerError):
    """This machine would give other bits than the run began with; elsewhere it can go on."""


class Interrupted(SchedulerError):
    """The user asked to stop at once; what is committed stays."""


class Unreleased(Interrupted):
    """The user did not wait for the database, so the run could not be given up in it."""

    def __init__(self, run_id: str, lease_seconds: float) -> None:
        super().__init__(
            f"Stopped while the database could not be used. Run {run_id} still counts as running "
            f"there; it can be taken over when its lease is over, {lease_seconds:g} seconds after "
            "its last renewal. What is committed is kept."
        )


def other_bits(run_id: str, expected: str | None, received: str | None) -> CannotContinueHere:
    """The error for a run that would go on with another fingerprint."""
    return CannotContinueHere(
        f"Run {run_id} was begun on machines with fingerprint {expected}; this one has {received} "
        "and would give other bits. Resume it on such a machine."
    )


def diverged(iteration: int) -> RunFailed:
    """The error for a loss or gradient that is no number."""
    return RunFailed(
        f"The loss or a gradient became NaN or infinite in iteration {iteration}; "
        "a smaller learning rate may help."
    )
