"""Matplotlib with its own defaults, whatever the user's files and variables say."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tapeworks.workers.foreign import hide_foreign

#: The file of settings that matplotlib looks for where the user is, before all others.
SETTINGS_FILE = "matplotlibrc"


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with matplotlib's defaults for a time; what others draw in this process keeps its style.

    No back end is chosen: pictures go into files, and each format has its own.
    """
    if "matplotlib" not in sys.modules:
        with _without_advice(), _without_settings(), _away_from_settings():
            import matplotlib
    import matplotlib

    defaults = matplotlib.rcParamsDefault
    own = matplotlib.rc_context({name: defaults[name] for name in defaults if name != "backend"})
    with _without_advice(), own:
        yield


@contextmanager
def _without_advice() -> Iterator[None]:
    """Log errors only: where its cache of fonts cannot be kept, matplotlib works without one."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_settings() -> Iterator[None]:
    """Name an empty file of settings; a wrong value would keep matplotlib from being loaded."""
    with hide_foreign(os.environ):
        os.environ["MATPLOTLIBRC"] = os.devnull
        try:
            yield
        finally:
            del os.environ["MATPLOTLIBRC"]


@contextmanager
def _away_from_settings() -> Iterator[None]:
    """Leave a working directory with a file of settings: there is no other way to ignore it."""
    if not os.path.lexists(SETTINGS_FILE):
        yield
        return
    here = os.open(".", os.O_RDONLY)
    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            os.chdir(elsewhere)
            try:
                yield
            finally:
                os.fchdir(here)
    finally:
        os.close(here)
