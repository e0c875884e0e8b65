"""New runs from the form in a browser, by keyboard, and where nothing may be changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tapeworks.storage.history import History
from tests.acceptance.web.conftest import Open


def test_a_wrong_setting_is_told_in_a_sentence_and_a_right_one_submitted(
    served_history: History, open_window: Open
) -> None:
    window = open_window()
    page = window.page
    page.goto("/new")
    page.get_by_label("images", exact=True).fill("-1")
    page.get_by_label("note").fill("<script>alert(1)</script>")
    page.get_by_role("button", name="Submit").click()
    sentence = "images: expected 1 or more. Received: images=-1."
    assert page.get_by_role("alert").inner_text() == sentence
    assert page.locator("[aria-invalid]").get_attribute("name") == "images"
    assert served_history.runs() == []

    page.get_by_label("images", exact=True).fill("7")
    page.get_by_label("optimizer").select_option("adam")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/runs/*")
    [run] = served_history.runs()
    assert (run.configuration["images"], run.configuration["optimizer"]) == (7, "adam")
    assert run.note == "<script>alert(1)</script>"
    window.forgive("422")


def test_the_form_is_filled_and_sent_without_mouse_or_scripts(
    served_history: History, open_window: Open
) -> None:
    page = open_window(java_script_enabled=False).page
    page.goto("/runs")
    press_tab_to(page, "New run")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
    press_tab_to(page, "vary")
    page.keyboard.type("seed=1,2")
    press_tab_to(page, "Submit")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?where=**")
    assert page.locator("tbody tr").count() == 2
    assert sorted(run.configuration["seed"] for run in served_history.runs()) == [1, 2]


@pytest.mark.parametrize("path", ["/runs", "/workers", "/sql", "/new"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    open_window: Open, path: str
) -> None:
    page = open_window().page
    page.goto(path)
    wanted = page.evaluate(REACHABLE)
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        place = page.evaluate(PLACE)
        if place is not None:
            reached.add(place)
            assert page.evaluate(OUTLINE) == "2px"
    assert len(reached) == wanted


#: What can be used on a page, and is to be seen.
REACHABLE = """[...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
)].filter(one => one.checkVisibility()).map((one, place) => one.dataset.place = place).length"""

#: The one that has the focus.
PLACE = "document.activeElement.dataset.place ?? null"

#: How wide the line around it is.
OUTLINE = "getComputedStyle(document.activeElement).outlineWidth"


def press_tab_to(page: Page, name: str) -> None:
    """Press Tab until this link, button or input has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and name in (
            focused.get_attribute("name"),
            focused.inner_text().strip(),
        ):
            return
    pytest.fail(f"Tab does not reach {name}")
