"""One process of the check: runs users' networks on the images that it is given.

`python -m tapeworks.model.networks.own.check.child PLACE OWN FIRST SECONDS`
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.processes import KEEPER, REQUEST
from tapeworks.model.networks.own.check.reports import Reports, end_with_parent
from tapeworks.model.networks.own.check.study import Study


def main(place: Path, own: Path, first: int, stage_seconds: float) -> None:
    """Check all studies from the first of these on, and report what was found of each."""
    end_with_parent()
    reports = Reports(own, stage_seconds)
    kept = own if own.name.startswith(KEEPER) else None
    studies = json.loads((place / REQUEST).read_text())
    for number, values in enumerate(studies[first:], start=first):
        reports.begin(number)
        try:
            study = Study(place=place, kept=kept, number=number, values=values)
            reports.answer(study.check(reports))
        except Refusal as refusal:
            reports.answer({"problem": refusal.problem, "line": refusal.line})
    sys.stdout.flush()
    os._exit(0)  # whatever threads the file has started


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
