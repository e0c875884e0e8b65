"""`tapeworks doctor`: a line for everything that should be in place, with its remedy if not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict

import click

from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.printing import put, visible
from tapeworks.doctor.examination import Examination
from tapeworks.doctor.findings import Finding, Level
from tapeworks.errors import ExitCode
from tapeworks.places import find_places


@click.command("doctor", epilog="Example: tapeworks doctor")
@click.option("--json", is_flag=True, help="print JSON")
@click.pass_obj
def doctor_command(ignored: dict[str, str] | None, json: bool) -> int:
    """Check settings, Redis, workers, schedulers, database, clocks and data sets.

    A line for each finding, with what to do about it. Changes nothing. Ends with the first
    problem's exit code; warnings are none.
    """
    environment = os.environ | (ignored or {})
    examination, told = Examination(find_places, environment), []
    for finding in examination.findings():
        told.append(finding)
        if not json:
            put(visible(f"{finding.level:9}{finding.label:11}{_sentences(finding)}"))
    if json:
        put(as_json([asdict(finding) for finding in told]))
    return _code(told)


def _code(findings: Iterable[Finding]) -> int:
    problems = (finding for finding in findings if finding.level is Level.PROBLEM)
    return next((finding.code for finding in problems), ExitCode.DONE)


def _sentences(finding: Finding) -> str:
    return f"{finding.found}. {finding.remedy}" if finding.remedy else finding.found
