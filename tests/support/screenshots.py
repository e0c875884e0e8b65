"""Pictures of every page of `tapeworks web` over real runs; `make screenshots` takes them.

python -m tests.support.screenshots FOLDER [--documents docs]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import Browser, Page

import tapeworks
from tapeworks.model.config import run_config
from tests.support.processes import ROOT, Start, processes
from tests.support.redis_servers import redis_with
from tests.support.waiting import until
from tests.support.web import running_browser, serve

#: Colour schemes, and widths with heights: a desk's and a phone's.
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = {"wide": (1280, 800), "narrow": (390, 800)}

#: Pictures that documents show, with the height that is of use.
SHOWN = {"runs": 665, "run": 900, "compare": 1040}

#: Settings of the runs on digits.
DIGITS: dict[str, Any] = {"iterations": 60, "test_images": 200, "evaluate_every": 10}
ADAM = DIGITS | {"optimizer": "adam", "schedule": "cosine"}


@dataclass(frozen=True)
class Scene:
    """The addresses that there is something to be seen at."""

    address: str
    #: Of pages, by their names.
    paths: dict[str, str]


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Trained runs, one that failed, one that is paused, one that is being trained; a page."""
    database = {"TAPEWORKS_DATABASE_URL": str(directory / "runs.db")}
    with redis_with() as redis, processes(directory, database) as start:
        variables = {"TAPEWORKS_REDIS_URL": redis}
        networks = str(ROOT / "examples")
        start("worker", "--processes", "2", "--no-pin", "--networks", networks, **variables)
        start("scheduler", **variables)
        with tapeworks.connect(directory / "runs.db") as client:
            paths = train(client)
            served = serve(start, **variables)
            yield Scene(served.address, paths | {"login": login_of(start, directory)})


def train(client: tapeworks.Client) -> dict[str, str]:
    """Train runs of several kinds, and return the paths of pages about them."""
    first = client.submit(run_config(DIGITS), name="first", note="as the seed has it")
    rates = client.submit_grid(
        run_config(ADAM),
        {"learning_rate": [0.0003, 0.001, 0.003]},
        name="adam",
        tags={"kind": "rates"},
    )
    network = {"network": str(ROOT / "examples" / "mlp.py"), "dataset": "breast_cancer"}
    sizes = {"images": 400, "test_images": 169, "optimizer": "adam", "learning_rate": 0.01}
    own = client.submit(run_config(network | sizes), name="mlp", tags={"kind": "own"})
    failed = client.submit(
        run_config({"learning_rate": 1e6}), name="too-fast", tags={"kind": "rates"}
    )
    for run in (first, *rates, own, failed):
        run.wait(300)
    again = first.retry(name="again", changes={"iterations": 2000})
    until(lambda: again.refresh().record.completed_iterations >= 40, "some iterations are done")
    again.pause("the machines are needed").wait(60)
    running = client.submit(
        run_config({"images": 300, "iterations": 50_000, "microbatch_size": 50}), name="all-night"
    )
    until(lambda: running.refresh().record.completed_iterations >= 40, "it is being trained")
    client.submit(run_config(DIGITS), name="next")
    hardest = int(first.images(59).nlargest(1, "loss")["image"].iloc[0])
    compared = "&".join(f"run={run.id}" for run in (first, *rates))
    return {
        "runs": "/runs",
        "runs-found": "/runs?where=final_loss+%3C+10&tag=kind%3Drates&sort=final_loss&order=asc",
        "run": f"/runs/{first.id}",
        "run-running": f"/runs/{running.id}",
        "run-paused": f"/runs/{again.id}",
        "run-failed": f"/runs/{failed.id}",
        "run-own": f"/runs/{own.id}",
        "delete": f"/runs/{own.id}/delete",
        "iteration": f"/runs/{first.id}/iterations/59",
        "images": f"/runs/{first.id}/images",
        "image": f"/runs/{first.id}/images/{hardest}",
        "compare": f"/compare?{compared}",
        "workers": "/workers",
        "sql": "/sql?q=SELECT+name,+status,+final_loss+FROM+runs+ORDER+BY+final_loss",
        "new": "/new?optimizer=adam&learning_rate=0.01",
        "problem": "/runs/nobody",
    }


def login_of(start: Start, directory: Path) -> str:
    """The address of a page that asks for its token."""
    (directory / "token").write_text("a-token-of-many-characters\n")
    return f"{serve(start, '--token-file', 'token').address}/login"


def take_pictures(browser: Browser, shown: Scene, folder: Path) -> None:
    """Take one picture of each page in each scheme and size."""
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            context = browser.new_context(
                base_url=shown.address,
                color_scheme=scheme,
                viewport={"width": width, "height": height},
            )
            page = context.new_page()
            for name, path in shown.paths.items():
                page.goto(path)
                wait_for_pictures(page)
                page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
            context.close()


def wait_for_pictures(page: Page) -> None:
    """Wait until everything on the page is drawn."""
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    drawn = "[...document.images].every(image => image.complete)"
    until(lambda: page.evaluate(drawn), "all pictures are there")
    if page.locator("[data-curves]").count():
        page.locator("[data-chart] canvas").last.wait_for()
    page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")


def write_documents(folder: Path, documents: Path) -> None:
    """Write the pictures that documents show, small: their upper part."""
    for name, height in SHOWN.items():
        with Image.open(folder / f"{name}-wide-light.png") as picture:
            part = picture.convert("RGB").crop((0, 0, picture.width, min(height, picture.height)))
        part.save(documents / f"web_{name}.png", optimize=True)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to put them")
    parser.add_argument("--documents", type=Path, help="where to put those that documents show")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tapeworks-pictures-") as directory,
        scene(Path(directory)) as shown,
        running_browser() as browser,
    ):
        take_pictures(browser, shown, given.folder)
    if given.documents:
        write_documents(given.folder, given.documents)


if __name__ == "__main__":
    main()
