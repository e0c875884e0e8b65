"""Questions to the large history, and the time of each answer."""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

from benchmarks.history.made_up import FIRST, run_id
from benchmarks.history.questions import questions
from tapeworks.cli.commands.find import COLUMNS
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import find_runs, query

#: Questions of the document that are told of: the heaviest.
HEAVIEST = 5

#: Anything that is asked, by what it is called.
Asked = dict[str, Callable[[], object]]

#: Conditions of `tapeworks runs --where`: on columns with an index, and on one without.
CONDITIONS = {
    "status": "status = 'failed'",
    "final_loss": "final_loss < 2.6",
    "created_at": f"created_at < '{FIRST.replace(hour=14):%Y-%m-%d %H:%M}'",
    "learning_rate (no index)": "learning_rate > 1",  # looks at every run, and finds none
}


def medians(asked: Asked, rounds: int) -> dict[str, float]:
    """Milliseconds of each, the median of so many rounds; within a round they take turns."""
    samples = defaultdict(list)
    for _ in range(rounds):
        for name, ask in asked.items():
            began = time.perf_counter()
            ask()
            samples[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(times) for name, times in samples.items()}


def commands(database: Database, runs: int) -> Asked:
    """Return what the commands ask the database, about runs of all ages."""
    history, listing = History(database), functools.partial(find_runs, database, columns=COLUMNS)
    middle = run_id(runs // 2)
    asked: Asked = {"runs": functools.partial(listing, limit=20)}
    for name, where in CONDITIONS.items():
        asked[f"runs --where {name}"] = functools.partial(listing, where=where, limit=20)
    return asked | {
        "show": lambda: _shown(history, middle[:-2]),
        "plot": lambda: history.iterations(middle),
    }


def _shown(history: History, prefix: str) -> object:
    run = history.find_run(prefix)
    return history.iterations(run.id), history.evaluations(run.id), history.tags(run.id)


def heaviest_questions(database: Database, runs: int, rounds: int) -> dict[str, float]:
    """The slowest of the document's questions, asked about runs of the middle."""
    about = [runs // 2, runs // 2 + 1]
    asked: Asked = {
        question.title: functools.partial(query, database, question.about(about).sql)
        for question in questions()
    }
    times = medians(asked, rounds)
    slowest = sorted(times, key=lambda title: -times[title])
    return {title: times[title] for title in slowest[:HEAVIEST]}
