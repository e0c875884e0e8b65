"""The pages that are opened, by what they are called, and those that stay open."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from benchmarks.history.made_up import run_id
from benchmarks.history.questions import questions

#: The pages of the line for programs.
RUNS_PAGE, RUN_PAGE = "runs page", "run page"

#: Compared at once.
FEW, MANY = 2, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Subjects:
    """The runs that are looked at."""

    runs: int  #: of the large history
    long: str
    trains: str

    @property
    def middle(self) -> str:
        """A finished run, neither new nor old."""
        return run_id(self.runs // 2)


def list_pages(subjects: Subjects) -> dict[str, str]:
    """URLs to open, each by its name."""
    middle = subjects.runs // 2
    compared = [run_id(number) for number in range(middle, min(middle + MANY, subjects.runs))]
    question = questions()[0].about([middle, middle + 1])
    return {
        RUNS_PAGE: "/runs",
        **{f"runs page, {name}": url for name, url in _selections(subjects.runs).items()},
        RUN_PAGE: f"/runs/{subjects.middle}",
        "its curves": f"/curves?run={subjects.middle}",
        "run page, of a run that trains": f"/runs/{subjects.trains}",
        "its curves, while it trains": f"/curves?run={subjects.trains}",
        "run page, of a long run": f"/runs/{subjects.long}",
        "its curves, of a long run": f"/curves?run={subjects.long}",
        f"compare page, {FEW} runs": _compared("/compare", compared[:FEW]),
        f"compare page, {MANY} runs": _compared("/compare", compared),
        f"curves of {MANY} runs": _compared("/curves", compared),
        "images page": f"/runs/{subjects.trains}/images",
        "images page, of a long run": f"/runs/{subjects.long}/images",
        "image page, of a long run": f"/runs/{subjects.long}/images/7",
        "heat map, of a long run": f"/runs/{subjects.long}/heat-map.png",
        "iteration page": f"/runs/{subjects.middle}/iterations/0",
        "workers page": "/workers",
        "SQL page": "/sql",
        "SQL page, a question": "/sql?" + urlencode({"q": question.sql}),
        "new run page": "/new",
        "REST: runs": "/api/v1/runs?limit=100",
        "REST: runs, where": "/api/v1/runs?" + urlencode({"where": "final_loss < 3", "limit": 100}),
        "REST: a run": f"/api/v1/runs/{subjects.middle}",
    }


def _selections(runs: int) -> dict[str, str]:
    asked: dict[str, dict[str, object]] = {
        "where, sort, columns": {
            "where": "final_loss < 3 AND learning_rate > 0.0005",
            "sort": "test_accuracy",
            "columns": "final_loss,learning_rate,optimizer,seed,tags,seconds",
        },
        "where on tags": {"where": "CAST(tags AS text) LIKE '%seeds%'"},
        "where on an option": {"where": "option.hidden = 64", "columns": "option.hidden"},
        "a tag": {"tag": "study=seeds"},
        "a status, by final_loss": {"status": "failed", "sort": "final_loss"},
        "by test_accuracy": {"sort": "test_accuracy"},
        "by learning_rate": {"sort": "learning_rate"},
        "by tags": {"sort": "tags"},
        "by option.hidden": {"sort": "option.hidden", "columns": "option.hidden"},
        "200 rows": {"limit": 200},
        "the last ones": {"offset": max(runs - 50, 0)},
    }
    return {name: f"/runs?{urlencode(values)}" for name, values in asked.items()}


def _compared(path: str, runs: list[str]) -> str:
    return f"{path}?{urlencode([('run', one) for one in runs])}"


def list_open_pages(subjects: Subjects) -> list[list[str]]:
    """Twenty pages that people leave open, each with the URLs that it asks for again and again."""
    listings = [f"/runs?limit={50 + number}" for number in range(4)]
    listings += ["/runs?status=running", "/runs?tag=study%3Dseeds", "/runs?sort=final_loss"]
    listings += ["/runs?" + urlencode({"where": "status = 'running'"})]
    seen = [subjects.trains] * 4 + [subjects.long] + [run_id(number + 1) for number in range(3)]
    pair = [("run", subjects.trains), ("run", subjects.middle)]
    return [
        *[[url] for url in listings],
        *[[f"/runs/{run}", f"/curves?run={run}"] for run in seen],
        [f"/curves?{urlencode(pair)}"],
        [f"/runs/{subjects.trains}/images"],
        [f"/runs/{subjects.trains}/images/7"],
        ["/workers"],
    ]
