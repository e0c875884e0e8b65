"""The places that a command's environment names."""

from __future__ import annotations

import os

import click

from tapeworks.cli.outputs.printing import say
from tapeworks.model.settings import find_unread
from tapeworks.places import Places, find_places

#: Where a command remembers that it has warned.
_WARNED = "tapeworks.unread_variables"


def find_own_places() -> Places:
    """Return the places that the environment names, with one warning of misspelt variables."""
    warned = click.get_current_context().meta
    unread = find_unread(os.environ)
    if unread and not warned.get(_WARNED):
        named = (
            name + (f" (did you mean {near}?)" if near else "") for name, near in unread.items()
        )
        say(f"Warning: nothing reads {', '.join(named)}, set in the environment")
        warned[_WARNED] = True
    return find_places()
