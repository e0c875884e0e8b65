"""Faults of a Compose project that a look at it shows."""

from __future__ import annotations

from tests.support.compose import hardening, wiring
from tests.support.compose.project import Project


def problems(project: Project) -> list[str]:
    """Everything that is wrong, a sentence each."""
    rules = (*wiring.RULES, *hardening.RULES)
    return [problem for rule in rules for problem in rule(project)]
