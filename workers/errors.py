"""What can go wrong between scheduler, Redis and workers."""


class WorkersError(Exception):
    """Base of the errors of this room."""


class RedisUnreachable(WorkersError):
    """Redis does not answer, or refuses us; what was asked may or may not have happened."""


class RedisUnsuitable(WorkersError):
    """Redis answers, but is set up so that it could drop what it holds, or is too old."""


class CrashPointUnknown(WorkersError):
    """This process was told to end at a point that does not exist."""


class WorkerExited(WorkersError):
    """Worker processes end again and again before they are ready."""


class PasswordUnusable(WorkersError):
    """The file that is named for a password holds none, or its URL has no room for one."""
