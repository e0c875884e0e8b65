"""Errors of the model room; every message is a sentence for the user."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The meanings of a command's exit codes."""

    DONE = 0
    RUN_FAILED = 1
    WRONG_USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class ModelError(Exception):
    """Base of the errors of this room."""


class ConfigurationError(ModelError):
    """A run's configuration has a value that cannot work, or a name that does not exist."""


class DatasetError(ModelError):
    """A data set is missing, damaged, or too small for what was asked."""


class ParametersError(ModelError):
    """Given parameters are missing, of the wrong shape or type, or not finite."""


class VariableUnreadable(ModelError):
    """An environment variable holds what can be read in no way, or in several."""


class ArithmeticUnsound(ModelError):
    """This machine computes other bits for the same image in another place, or for the same sum."""


class NetworkError(ModelError):
    """A user's network breaks the contract of docs/networks.md."""


class NetworkNotAllowed(ModelError):
    """The source of a user's network may not run in this process, or is not there."""
