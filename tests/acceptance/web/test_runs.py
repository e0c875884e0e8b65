"""The page of all runs in a browser, with both databases."""

from __future__ import annotations

import pytest

from tapeworks.storage.history import History
from tests.acceptance.web.conftest import Open
from tests.support.made_up import LEASE, commit, submit

#: How far from the window's upper edge a row stands.
TOP = "row => row.getBoundingClientRect().top"


def test_runs_are_filtered_and_sorted_in_the_url(
    served_history: History, open_window: Open
) -> None:
    for name in ("a", "b", "c"):
        submit(served_history, name=name)
    served_history.queue.cancel(served_history.find_run("b").id)
    page = open_window().page
    page.goto("/")
    page.get_by_label("queued").check()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**status=queued**")
    rows = page.locator("tbody tr")
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["c", "a"]
    page.get_by_role("columnheader", name="run").get_by_role("link").click()
    page.wait_for_url("**sort=name**")
    assert "status=queued" in page.url
    page.reload()
    assert page.get_by_label("queued").is_checked()


def test_what_changes_is_shown_and_what_people_do_stays(
    served_history: History, open_window: Open
) -> None:
    first = submit(served_history, name="first")
    for _ in range(40):
        submit(served_history)
    page = open_window(viewport={"width": 800, "height": 500}).page
    page.goto("/runs")
    box = page.get_by_label("Compare first")
    box.check()
    page.get_by_text("Columns").click()
    page.get_by_label("Where").fill("half a condi")
    row = page.locator(f"tr[data-key='{first.id}']").element_handle()
    box.focus()
    page.mouse.move(0, 0)
    top = page.evaluate(TOP, row)

    claim = served_history.claim(first.id, "alice", LEASE)
    commit(served_history, claim, 0)
    commit(served_history, claim, 1)
    new = submit(served_history, name="new")

    page.locator(f"tr[data-key='{new.id}']").wait_for()
    assert row.is_visible()
    assert "running" in row.inner_text()
    assert "2/3" in row.inner_text()
    assert row.query_selector("polyline")
    assert box.is_checked()
    assert page.evaluate("document.activeElement.value") == first.id
    assert page.evaluate(TOP, row) == pytest.approx(top, abs=1)
    assert page.get_by_label("Where").input_value() == "half a condi"
    assert page.locator("details").get_attribute("open") is not None
