"""Open pages while the database or the page's own process is away: a banner, then live again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tests.support.made_up import commit, submit_and_claim
from tests.support.postgres import PostgresServer, new_database
from tests.support.processes import Start
from tests.support.waiting import until
from tests.support.web import Served, serve, window_of

pytestmark = pytest.mark.long


@pytest.fixture
def restarted(
    places: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[History]:
    """An empty history on a server that the test restarts."""
    with new_database(postgres.url(), "restarted") as url:
        monkeypatch.setenv("TAPEWORKS_DATABASE_URL", url)
        history = History(Database(url))
        history.database.upgrade()
        yield history
        history.database.close()
        if postgres.process is None:
            postgres.start()


def use(page: Page) -> dict[str, object]:
    """Do what people do with a page, and return what must stay of it."""
    page.get_by_label("Reason").fill("half a sen")
    page.get_by_label("Reason").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#facts h2'))")
    page.evaluate("scrollTo(0, 400)")
    return state(page)


def state(page: Page) -> dict[str, object]:
    found: dict[str, object] = page.evaluate(
        "({top: document.querySelector('#facts h2').getBoundingClientRect().top,"
        " selected: getSelection().toString(), loaded: performance.timeOrigin,"
        " focused: document.activeElement.name, reason: document.activeElement.value})"
    )
    return found


def assert_stays(page: Page, before: dict[str, object]) -> None:
    """Nothing has moved, lost its focus or been loaded anew since then.

    It is where the heading is seen that counts: a browser scrolls by as much as what stands above
    has grown or shrunk, up to a part of a pixel.
    """
    now = state(page)
    assert now == before | {"top": now["top"]}
    assert now["top"] == pytest.approx(before["top"], abs=2)


def test_pages_survive_restarts_of_the_database_and_of_their_server(
    restarted: History, postgres: PostgresServer, start: Start, browser: Browser, tmp_path: Path
) -> None:
    tokens = [tmp_path / name for name in ("first", "second")]
    for token in tokens:
        token.write_text(f"the-{token.name}-token-of-this-page\n")
    served = serve(start, "--token-file", str(tokens[0]))
    claim = submit_and_claim(restarted)
    commit(restarted, claim, 0)
    with window_of(browser, served.address, viewport={"width": 500, "height": 500}) as window:
        page, banner = window.page, window.page.locator("#banner")
        page.goto(f"/login?next=/runs/{claim.run_id}")
        page.get_by_label("Token").fill(tokens[0].read_text().strip())
        page.get_by_role("button", name="Log in").click()
        page.locator("[data-chart='loss'] canvas").wait_for()
        before = use(page)

        postgres.kill()
        expect(banner).to_contain_text("The database does not answer; what is shown is of ")
        expect(banner).to_contain_text(" UTC. Trying again.")
        assert_stays(page, before)
        form = window.context.new_page()
        form.goto(f"/login?next=/runs/{claim.run_id}")
        expect(form.locator("[data-problem]")).to_contain_text("Cannot use the database")
        postgres.start()
        form.get_by_role("button", name="Pause").wait_for()  # it loads itself again
        expect(banner).to_be_hidden()

        stop(served)
        expect(banner).to_contain_text("The web page's server does not answer")
        again = serve_again(start, served, tokens[0])
        commit(restarted, claim, 1)
        page.locator("#newest tr[data-key='1']").wait_for()
        expect(banner).to_be_hidden()
        assert_stays(page, before)

        postgres.kill()
        form.get_by_role("button", name="Pause").click()
        expect(form.locator("[data-problem]")).to_contain_text("Cannot use the database")
        expect(form.locator("main")).to_contain_text("done as a whole or not at all")
        postgres.start()
        form.wait_for_url(f"**/runs/{claim.run_id}")  # it goes back to the run by itself
        form.get_by_role("button", name="Pause").wait_for()
        assert restarted.find_run(claim.run_id).request is None

        stop(again)
        serve_again(start, served, tokens[1])
        logged_out = "You are not logged in any more; what is shown is of "
        expect(banner).to_contain_text(logged_out, timeout=60_000)  # asked every 16 s by now
        assert_stays(page, before)
        banner.get_by_role("link", name="Log in").click()
        page.get_by_label("Token").fill(tokens[1].read_text().strip())
        page.get_by_role("button", name="Log in").click()
        page.locator("#newest tr[data-key='1']").wait_for()
        window.forgive("503")
        window.forgive_silence()


def stop(served: Served) -> None:
    served.process.interrupt()
    assert served.process.ended() == 130
    assert "Traceback" not in served.process.err


def serve_again(start: Start, served: Served, token: Path) -> Served:
    """Serve at the same address again."""
    port = served.address.rpartition(":")[2]
    process = start("web", "--port", port, "--token-file", str(token))
    until(lambda: process.says("Ctrl-C stops it"), "it is served again")
    return Served(process, served.link)
