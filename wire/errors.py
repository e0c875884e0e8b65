"""Errors between scheduler, Redis and workers."""


class WorkersError(Exception):
    """Base of the errors of this room."""


class RedisUnreachable(WorkersError):
    """Redis does not answer, or refuses us; what was asked may or may not have happened."""


class RedisMisconfigured(RedisUnreachable):
    """Redis or its address is set up wrongly; waiting does not help, a person must change it."""


class RedisRefused(RedisMisconfigured):
    """Redis knows no such user, or another password; it will until that is changed."""


class RedisUnsuitable(WorkersError):
    """Redis answers, but is set up so that it could drop what it holds, or is too old."""


class ProgramMissing(WorkersError):
    """No server that a private Redis could run is on this machine."""


class WorkerExited(WorkersError):
    """Worker processes end again and again before they are ready."""


class PasswordUnusable(WorkersError):
    """The file that is named for a password holds none, or its URL has no room for one."""


class SigningKeyUnusable(WorkersError):
    """No signing key is named where one is needed, or the file that is named is none."""


class SignatureWrong(WorkersError):
    """Data read from Redis that is not signed with this process's key."""


class MessageUnreadable(WorkersError):
    """A message is not what a scheduler of this version sends."""
