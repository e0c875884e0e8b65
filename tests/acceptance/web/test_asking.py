"""The query box, workers and a run's images in a browser, with both databases."""

from __future__ import annotations

from tapeworks.storage.history import History
from tests.acceptance.web.conftest import Open
from tests.support.made_up import LEASE, commit, submit
from tests.support.waiting import until


def test_a_question_is_chosen_asked_and_a_write_is_refused(
    served_history: History, open_window: Open
) -> None:
    run = submit(served_history, name="mine")
    window = open_window()
    page = window.page
    page.goto("/sql")
    page.get_by_label("Question").select_option(
        label="What waits in the queue, the next one first?"
    )
    page.get_by_role("button", name="Put into the box").click()
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("cell", name="mine").wait_for()

    page.get_by_label("One SELECT").fill("DELETE FROM stored_runs")
    page.get_by_role("button", name="Ask").click()
    assert "queries are read-only" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("One SELECT").input_value() == "DELETE FROM stored_runs"
    assert served_history.find_run(run.id) == run

    page.get_by_label("One SELECT").fill("SELECT name FROM runs")
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    assert downloaded.value.path().read_bytes() == b"name\nmine\n"
    window.forgive("422")


def test_two_browsers_see_the_same_worker_s_work_grow(
    served_history: History, open_window: Open
) -> None:
    claim = served_history.claim(submit(served_history, name="mine").id, "alice", LEASE)
    commit(served_history, claim, 0)
    pages = [open_window(viewport={"width": 390, "height": 700}).page, open_window().page]
    for page in pages:
        page.goto("/workers")
        assert "unknown" in page.locator("tr[data-key='worker-1']").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    commit(served_history, claim, 1)
    for page in pages:
        page.locator("tr[data-key='worker-1']", has_text="40").wait_for()
        page.get_by_text("2/3").wait_for()


def test_a_run_leads_to_its_images_and_each_to_its_course(
    served_history: History, open_window: Open
) -> None:
    claim = served_history.claim(submit(served_history).id, "alice", LEASE)
    commit(served_history, claim, 0)
    commit(served_history, claim, 1)
    page = open_window().page
    page.goto(f"/runs/{claim.run_id}/images")
    page.get_by_role("link", name="Earlier: 0").click()
    assert "Hardest in iteration 0" in page.get_by_role("heading", level=2).first.inner_text()
    width = "document.querySelector('.map img').naturalWidth"
    until(lambda: page.evaluate(width) == 2, "the map of two iterations is there")
    page.get_by_role("link", name="Image 19").click()
    page.get_by_role("cell", name="3.71429").wait_for()
