"""The pages of a run, an iteration and a comparison in a browser, with both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.acceptance.web.conftest import Open
from tests.support.made_up import LEASE, commit, submit
from tests.support.stories import tell
from tests.support.training import drive, settings, submitted


@contextmanager
def training(history: History, run: RunRecord) -> Iterator[threading.Thread]:
    """Compute the run in this process, until it is left or the test is over."""
    thread = threading.Thread(target=drive, args=[history, LocalDispatcher(), run])
    thread.start()
    try:
        yield thread
    finally:
        if not history.find_run(run.id).status.is_finished and thread.is_alive():
            history.queue.cancel(run.id)
        thread.join()


def begun_after(history: History, run: RunRecord, kind: str) -> int:
    """Count the iterations that were begun after the newest event of this kind."""
    asked = [event.at for event in history.events(run.id) if event.kind == kind][-1]
    return sum(record.started_at > asked for record in history.iterations(run.id))


def points(page: Page) -> int:
    """Return how many places the curves have."""
    return int(page.locator("[data-curves]").get_attribute("data-points") or 0)


@pytest.mark.slow
@pytest.mark.usefixtures("one_by_one")
def test_a_run_is_watched_paused_resumed_and_cancelled(
    served_history: History, open_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.training.LEASE_SECONDS", LEASE)  # as a scheduler's own
    run = submitted(served_history, settings(iterations=2000), name="long")
    page = open_window().page
    page.goto(f"/runs/{run.id}")
    expect(page.locator("[data-empty]")).to_have_count(1)
    with training(served_history, run) as driver:
        page.locator("[data-chart='loss'] canvas").wait_for()
        before = points(page)
        page.wait_for_function(
            "before => +document.querySelector('[data-curves]').dataset.points > before",
            arg=before,
        )
        page.get_by_label("Reason").fill("lunch")
        page.get_by_role("button", name="Pause").click()
        driver.join()
    assert served_history.find_run(run.id).status is RunStatus.PAUSED
    assert begun_after(served_history, run, "pause requested") <= 1
    expect(page.locator("#standing")).to_contain_text("paused")
    expect(page.locator("#standing")).to_contain_text("lunch")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#standing")).to_contain_text("queued")
    with training(served_history, run) as driver:
        expect(page.locator("#standing")).to_contain_text("running")
        page.get_by_role("link", name="Cancel this run").click()
        page.get_by_role("button", name="Cancel this run").click()
        driver.join()
    assert served_history.find_run(run.id).status is RunStatus.CANCELLED
    assert begun_after(served_history, run, "cancel requested") <= 1
    expect(page.locator("#standing")).to_contain_text("cancelled")
    expect(page.get_by_role("link", name="Cancel this run")).to_have_count(0)


def test_scroll_focus_selection_and_open_parts_stay(
    served_history: History, open_window: Open
) -> None:
    run = submitted(served_history, settings(iterations=100))
    claim = served_history.claim(run.id, "alice", LEASE)
    commit(served_history, claim, 0)
    page = open_window(viewport={"width": 500, "height": 500}).page
    page.goto(f"/runs/{run.id}")
    page.locator("[data-chart='loss'] canvas").wait_for()
    page.get_by_text("Checkpoints:").click()
    page.get_by_label("Reason").fill("half a sen")
    page.get_by_label("Reason").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#facts h2'))")
    page.evaluate("scrollTo(0, 400)")
    top = page.evaluate("scrollY")
    commit(served_history, claim, 1)
    page.locator("#newest tr[data-key='1']").wait_for()
    assert page.evaluate("scrollY") == top
    assert page.evaluate("getSelection().toString()") == "Facts"
    assert page.evaluate("document.activeElement.name") == "reason"
    assert page.get_by_label("Reason").input_value() == "half a sen"
    assert page.locator("#checkpoints").get_attribute("open") is not None
    expect(page.locator("#checkpoints tbody tr")).to_have_count(3)


def test_a_page_that_refuses_a_form_keeps_what_was_typed_and_stays_live(
    served_history: History, open_window: Open
) -> None:
    run = submitted(served_history, settings(iterations=100))
    claim = served_history.claim(run.id, "alice", LEASE)
    window = open_window()
    page, typed = window.page, "learning_rate=-1\niterations=5"
    page.goto(f"/runs/{run.id}")
    page.get_by_label("Other settings").fill(typed)
    page.get_by_role("button", name="Queue a new run").click()
    expect(page.get_by_role("alert")).to_contain_text("learning_rate")
    commit(served_history, claim, 0)
    page.locator("#newest tr[data-key='0']").wait_for()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.get_by_label("Other settings")).to_have_value(typed)
    window.forgive("422")


def test_runs_are_chosen_and_compared(served_history: History, open_window: Open) -> None:
    for name, losses in {"one": [[4.0], [3.0]], "other": [[4.0], [2.0]]}.items():
        tell(served_history, losses, name=name)
    page = open_window().page
    page.goto("/runs")
    page.get_by_label("Compare one").check()
    page.get_by_label("Compare other").check()
    page.get_by_role("button", name="Compare the chosen runs").click()
    page.locator("[data-chart='loss'] canvas").wait_for()
    assert "differ first in" in page.locator(".verdict").inner_text()
    legend = page.locator("[data-chart='loss'] .lines").inner_text()
    assert "one" in legend
    assert "other" in legend
    box = page.locator("[data-chart='loss'] .lines").get_by_role("checkbox", name="other")
    box.uncheck()
    friend = open_window().page
    friend.goto(page.url)
    lines = friend.locator("[data-chart='loss'] .lines")
    expect(lines.get_by_role("checkbox", name="one")).to_be_checked()
    expect(lines.get_by_role("checkbox", name="other")).not_to_be_checked()
    box.check()
    assert "#" not in page.url


def test_names_reasons_and_owners_are_no_markup(served_history: History, open_window: Open) -> None:
    ours = "<script>document.title='taken'</script>\x1b[31m"
    run = submit(served_history, note="<img src=x onerror=alert(1)>", tags={"tag": "<b>"})
    claim = served_history.claim(run.id, ours, LEASE)
    commit(served_history, claim, 0)
    served_history.add_event(claim, "odd", ours)
    served_history.finish(claim, RunStatus.FAILED, ours)
    page = open_window().page
    for path in (f"/runs/{run.id}", f"/runs/{run.id}/iterations/0", f"/compare?run={run.id}"):
        page.goto(path)
        assert "taken" not in page.title()
        assert page.locator("main script, main img, main b").count() == 0
        assert "\x1b" not in page.content()
    page.goto(f"/runs/{run.id}")
    assert "\\x1b[31m" in page.locator("#standing").inner_text()


def test_all_is_done_with_the_keyboard_and_without_scripts(
    served_history: History, open_window: Open
) -> None:
    run = submit(served_history, name="typed")
    page = open_window(java_script_enabled=False).page
    page.goto(f"/runs/{run.id}")
    page.get_by_label("Reason").focus()
    page.keyboard.type("by hand")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#standing")).to_contain_text("by hand")
    page.get_by_role("link", name="Cancel this run").press("Enter")
    page.get_by_label("Reason").fill("too warm")
    page.get_by_role("button", name="Cancel this run").press("Enter")
    expect(page.locator("#standing")).to_contain_text("too warm")
    page.get_by_role("link", name="Delete this run").press("Enter")
    page.get_by_role("button", name="Delete this run").press("Enter")
    page.wait_for_url("**/runs")
    assert served_history.runs() == []


def test_a_picture_stands_where_no_script_draws(served_history: History, open_window: Open) -> None:
    run = tell(served_history, [[4.0, 2.0], [3.0, 1.0]], name="still")
    page = open_window(java_script_enabled=False).page
    page.goto(f"/runs/{run.id}")
    assert page.locator("img.picture").evaluate("one => one.complete && one.naturalWidth > 0")
    page.get_by_role("link", name="1", exact=True).click()
    expect(page.locator(".verdict")).to_have_text("Each of the 2 images was counted exactly once.")
    assert page.locator(".timeline rect").count() == 2
