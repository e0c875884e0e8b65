"""Draws a seed's journal: who was struck when, what was committed, and the loss.

`python -m tests.faults.chaos.figure JOURNAL FILE`
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.chaos.journal import Entry, at, of, read
from tests.faults.chaos.world import PROXIED_GROUP

#: Dots per inch of a picture of 10 by 8 inches.
RESOLUTION = 110

#: What is drawn as a bar as long as the fault lasts, with its colour and its name in the legend.
BARS = {
    "kill": ("0.45", "down"),
    "restart": ("0.45", "down"),
    "pause": ("0.75", "paused"),
    "lock": ("0.75", "paused"),
    "down": ("tab:orange", "link down or half-open"),
    "half-open": ("tab:orange", "link down or half-open"),
    "delay": ("moccasin", "link slow or lossy"),
    "loss": ("moccasin", "link slow or lossy"),
}

#: What is drawn as a point: marker, colour, name in the legend.
POINTS = {
    "kill": ("x", "tab:red", "SIGKILL"),
    "flush": ("v", "tab:purple", "FLUSHALL"),
    "reset": ("|", "black", "connections reset"),
    "lie": ("*", "tab:blue", "a lie told"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """A fault as it is drawn."""

    lane: str
    kind: str
    at: float  #: seconds since the first commit
    seconds: float  #: length of its bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """The data of the picture, apart from the drawing."""

    lanes: list[str]  #: from above to below
    strikes: list[Strike]
    commits: list[float]  #: seconds since the first one
    disturbed: list[float]  #: loss of each iteration of the first run
    undisturbed: list[float]


def drawing(entries: Sequence[Entry]) -> Drawing:
    """A seed's journal as what is drawn."""
    [first, *_] = of(entries, "submitted")
    workers = sorted({e["process"] for e in of(entries, "started") if e["process"] != "liar"})
    groups = [name for name in workers if name.startswith("worker-")]
    lanes = [*(name for name in workers if name not in groups), *groups, "liar", "redis"]
    commits = of(entries, "commit")
    began = at(commits[0])
    return Drawing(
        lanes=[*lanes, "database"],
        strikes=[_strike(fault, began, len(groups)) for fault in of(entries, "fault")],
        commits=[at(commit) - began for commit in commits],
        disturbed=[c["loss"] for c in commits if c["run_id"] == first["run_id"]],
        undisturbed=of(entries, "undisturbed")[0]["losses"],
    )


def lane(target: str, groups: int) -> str:
    """Return a fault's lane; a link's or the proxy's is that of the worker behind it."""
    name = target.split()[0].rstrip(":")
    if name == "proxy":
        return f"worker-{PROXIED_GROUP}"
    if name.startswith("link-"):
        group = int(name.removeprefix("link-"))
        return f"worker-{group}" if group <= groups else "liar"
    return name


def draw(entries: Sequence[Entry], path: Path) -> None:
    """Draw into a PNG."""
    from matplotlib.figure import Figure  # slow to load, and needs no display this way

    shown = drawing(entries)
    figure = Figure(figsize=(10, 8), layout="constrained")
    above, below = figure.subplots(2, height_ratios=(3, 2))
    _draw_lanes(above, shown)
    _draw_losses(below, shown)
    figure.savefig(path, format="png", dpi=RESOLUTION)


def _strike(fault: Entry, began: float, groups: int) -> Strike:
    return Strike(
        lane=lane(fault["target"], groups),
        kind=fault["kind"],
        at=at(fault) - began,
        seconds=fault["seconds"],
    )


def _draw_lanes(axes: Any, shown: Drawing) -> None:
    rows = {name: row for row, name in enumerate([*shown.lanes, "commits"])}
    for strike in shown.strikes:
        if strike.kind in BARS and strike.seconds:
            colour, label = BARS[strike.kind]
            row = rows[strike.lane]
            axes.barh(row, strike.seconds, left=strike.at, height=0.6, color=colour, label=label)
    for kind, (marker, colour, label) in POINTS.items():
        struck = [strike for strike in shown.strikes if strike.kind == kind]
        places = [strike.at for strike in struck], [rows[strike.lane] for strike in struck]
        axes.plot(*places, marker, color=colour, markersize=9, markeredgewidth=2, label=label)
    last = rows["commits"]
    axes.vlines(shown.commits, last - 0.4, last + 0.4, color="tab:green", linewidth=0.5)
    for row in range(len(rows)):
        axes.axhline(row, color="0.9", linewidth=0.8, zorder=0)
    axes.set_yticks(list(rows.values()), labels=list(rows))
    axes.set_ylim(last + 0.6, -0.6)
    axes.set_xlim(min(shown.commits) - 1, max(shown.commits) + 1)
    axes.set_xlabel("Seconds since the first commit")
    axes.set_title(
        f"{len(shown.strikes)} faults, {len(shown.commits)} committed iterations", loc="left"
    )
    _legend(axes)


def _legend(axes: Any) -> None:
    handles: Iterable[Any]
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(
        unique.values(), unique.keys(), loc="lower right", bbox_to_anchor=(1, 1), ncols=4,
        fontsize="small", frameon=False,
    )  # fmt: skip


def _draw_losses(axes: Any, shown: Drawing) -> None:
    axes.plot(shown.undisturbed, color="tab:blue", linewidth=5, alpha=0.35, label="undisturbed")
    axes.plot(shown.disturbed, color="black", linewidth=1, label="under these faults")
    axes.set_xlabel("Iteration")
    axes.set_ylabel("Loss")
    axes.set_yscale("log")
    axes.set_xlim(0, len(shown.undisturbed))
    pairs = list(zip(shown.disturbed, shown.undisturbed, strict=False))
    largest = max(abs(one - other) for one, other in pairs)
    axes.set_title(f"Largest difference over {len(pairs)} iterations: {largest:g}", loc="left")
    axes.grid(alpha=0.3)
    axes.legend()


if __name__ == "__main__":
    draw(read(Path(sys.argv[1])), Path(sys.argv[2]))
