"""Promises that all pages keep in a browser: no harm by texts, one origin, keyboard, rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.acceptance.web.conftest import Open
from tests.support.made_up import LEASE, commit, submit
from tests.support.processes import Start
from tests.support.stories import evaluated, tell
from tests.support.waiting import until
from tests.support.web import Served, serve, window_of

#: Markup and a terminal's command, for wherever people or workers may write.
TAKES = "document.title='taken'"
NASTY = f'<script>{TAKES}</script><img src=x onerror="{TAKES}">\x1b[31m"'

#: The accessible names and the widths of a page, and what is wrong with them.
FAULTS = """[
    ...[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
        .filter(one => !(one.labels?.length || one.ariaLabel)).map(one => `no label: ${one.name}`),
    ...[...document.querySelectorAll('th:not([scope])')].map(one => `no scope: ${one.innerText}`),
    ...[...document.querySelectorAll(['img:not([alt])', '[role=img]:not([aria-label])',
        'progress:not([aria-label])'])].map(one => `no text: ${one.outerHTML.slice(0, 80)}`),
    ...document.documentElement.lang === 'en' ? [] : ['no language'],
    ...document.querySelectorAll('h1').length === 1 ? [] : ['not one h1'],
    ...document.documentElement.scrollWidth <= document.documentElement.clientWidth ? []
        : [`${document.documentElement.scrollWidth} wide`],
]"""


@pytest.fixture(scope="module")
def kind() -> str:
    """One kind of database: what is promised here depends on none."""
    return "sqlite"


@pytest.fixture(scope="module")
def read_only(start_beside: Start) -> Served:
    return serve(start_beside, "--read-only")


def nasty_run(history: History) -> RunRecord:
    """A run with such a text wherever one can be, and the same of a history that others wrote."""
    run = submit(history, note=NASTY.replace("\x1b", ""), tags={"study": NASTY.replace("\x1b", "")})
    claim = history.claim(run.id, NASTY, LEASE)
    commit(history, claim, 0)
    commit(history, claim, 1)
    history.add_event(claim, "odd", NASTY, worker=NASTY)
    history.finish(claim, RunStatus.FAILED, NASTY)
    with history.database.write() as connection:
        connection.exec_driver_sql("UPDATE stored_runs SET name = ?", (NASTY,))
        connection.exec_driver_sql("UPDATE stored_workers SET name = ? || number", (NASTY,))
    return history.find_run(run.id)


def paths_of(run: RunRecord) -> list[str]:
    """Every page, with this run on it where there is one."""
    own = f"/runs/{run.id}"
    return [
        *("/runs?columns=note,tags,owner,parameters_digest,reason", "/runs?where=seed+%3C+0"),
        *(own, f"{own}/iterations/0", f"{own}/images", f"{own}/images/1", f"{own}/delete"),
        f"{own}/cancel",
        *(f"/compare?run={run.id}", "/compare", "/workers", "/new", "/login"),
        "/sql?q=SELECT+*+FROM+runs+JOIN+ledger+ON+run_id+%3D+id",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_text_harms_and_no_page_is_too_wide_or_unnamed(
    served_history: History, open_window: Open, scheme: str
) -> None:
    run = nasty_run(served_history)
    window = open_window(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page = window.page
    titles = set()
    for path in paths_of(run):
        page.goto(path)
        if "data-curves" in page.content():
            page.locator("[data-chart='loss'] .lines").wait_for()
        assert page.evaluate(FAULTS) == [], path
        assert page.title() != "taken", path
        assert page.locator("main script").count() == 0
        assert "\x1b" not in page.content()
        titles.add(page.title())
    assert len(titles) >= 10
    assert all(title.endswith("Tapeworks") for title in titles)


def test_a_file_is_called_by_the_run_s_id(served_history: History, open_window: Open) -> None:
    run = nasty_run(served_history)
    page = open_window().page
    page.goto(f"/runs/{run.id}")
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="CSV").click()
    assert downloaded.value.suggested_filename == f"{run.id}.csv"


def test_two_browsers_see_one_run_and_one_pauses_it(
    served_history: History, open_window: Open
) -> None:
    claim = served_history.claim(submit(served_history, name="shared").id, "alice", LEASE)
    commit(served_history, claim, 0)
    one, other = (open_window().page for _ in range(2))
    for page in (one, other):
        page.goto(f"/runs/{claim.run_id}")
    one.get_by_label("Reason").fill("lunch")
    one.get_by_role("button", name="Pause").click()
    for page in (one, other):
        expect(page.get_by_role("status").filter(has_text="to pause: lunch")).to_have_count(1)
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
    other.get_by_role("button", name="Resume").click()
    expect(one.get_by_role("button", name="Pause")).to_be_visible()


def test_runs_appear_by_themselves_and_on_the_compared_ones_everything_goes_on(
    served_history: History, open_window: Open
) -> None:
    window = open_window()
    page = window.page
    page.goto("/runs")
    expect(page.locator("#runs")).to_contain_text("There are no runs yet")
    claims = [
        served_history.claim(submit(served_history, name=name).id, "alice", LEASE)
        for name in ("one", "other")
    ]
    commit(served_history, claims[0], 0)
    page.get_by_role("link", name="other").wait_for()
    for key in ("one", "other"):
        tab_to(page, f"Compare {key}")
        page.keyboard.press("Space")
    tab_to(page, "Compare the chosen runs")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?run=**")
    commit(served_history, claims[1], 0)
    expect(page.locator(".verdict")).to_contain_text("the same bits in all 1 iteration")
    commit(served_history, claims[1], 1)
    expect(page.locator("tr[data-key=completed_iterations]")).to_contain_text("2")
    expect(page.locator("[data-chart=loss] .lines")).to_contain_text("33")


def test_the_keyboard_alone_skips_compares_hides_a_line_and_pauses(
    served_history: History, open_window: Open
) -> None:
    run = tell(served_history, [[4.0], [3.0]], evaluations=[evaluated(2, 8.0, 0.75)])
    driven = submit(served_history, name="driven")
    page = open_window().page
    page.goto(f"/runs/{run.id}")
    page.locator("[data-chart='loss'] .lines").wait_for()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the content"
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("id") == "content"
    tab_to(page, "held-out images")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    page.keyboard.press("Space")
    assert not page.get_by_label("held-out images").first.is_checked()
    page.goto(f"/runs/{driven.id}")
    tab_to(page, "Pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="paused")).to_have_count(1)


def test_a_double_click_and_going_back_add_no_second_grid(
    served_history: History, open_window: Open
) -> None:
    page = open_window().page
    page.goto("/new")
    page.get_by_label("vary").fill("seed=1,2")
    page.get_by_role("button", name="Submit").dblclick()
    page.wait_for_url("**/runs?where=**")
    assert page.locator("tbody tr").count() == 2
    page.go_back()
    assert page.get_by_label("vary").input_value() == "seed=1,2"
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/runs?where=**")
    assert len(served_history.runs()) == 2


def test_the_proof_is_asked_on_the_page_sql(served_history: History, open_window: Open) -> None:
    run = tell(served_history, [[4.0, 2.0], [3.0, 1.0]])
    page = open_window().page
    page.goto(f"/runs/{run.id}/iterations/1")
    page.get_by_text("The query that proves it").click()
    page.get_by_role("link", name="Ask it on the page SQL").click()
    expect(page.get_by_role("region", name="Answer").locator("tbody td")).to_have_text(
        ["2", "1", "1"]
    )


def test_where_nothing_may_be_changed_there_are_no_buttons_and_calls_are_refused(
    served_history: History, read_only: Served, browser: Browser
) -> None:
    run = submit(served_history, name="mine")
    with window_of(browser, read_only.address) as window:
        page = window.page
        for path in paths_of(run):
            if path != "/new" and "iterations" not in path and "images" not in path:
                page.goto(path)
                forms = page.locator("form[method=post]:not([action='/login'])")
                assert forms.count() == 0, path
                assert page.get_by_role("link", name="New run").count() == 0
        calls = [f"/runs/{run.id}/pause", f"/api/v1/runs/{run.id}/cancel", "/new", "/api/v1/runs"]
        for call in calls:
            asked = f"fetch('{call}', {{method: 'POST'}}).then(answer => answer.status)"
            assert page.evaluate(asked) == 403
        window.forgive("403")
    assert served_history.find_run(run.id) == run


@pytest.fixture
def foreign_site(start_beside: Start) -> Iterator[str]:
    """A page that another server serves, as far as a browser knows."""
    other = serve(start_beside, "--read-only")
    yield other.address
    other.process.interrupt()


def test_another_site_a_foreign_host_and_no_token_are_refused(
    served_history: History,
    served: Served,
    foreign_site: str,
    browser: Browser,
    start_beside: Start,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run = submit(served_history, name="mine")
    context = browser.new_context(base_url=foreign_site, bypass_csp=True)
    page = context.new_page()
    page.goto("/runs")
    with page.expect_navigation():
        page.evaluate(
            "action => { const form = document.createElement('form'); form.method = 'post';"
            "form.action = action; document.body.append(form); form.submit(); }",
            f"{served.address.replace('127.0.0.1', 'localhost')}/runs/{run.id}/cancel",
        )
    assert "Expected a request of this web page itself" in page.content()
    port = served.address.rpartition(":")[2]
    answer = page.request.get(f"{served.address}/runs", headers={"Host": f"evil.example:{port}"})
    assert answer.status == 421
    context.close()
    assert served_history.find_run(run.id).status is RunStatus.QUEUED

    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("a-token-of-many-characters\n")
    guarded = serve(start_beside, "--token-file", str(token))
    with window_of(browser, guarded.address) as window:
        window.page.goto(f"/runs/{run.id}")
        assert "/login?next=" in window.page.url
        window.page.get_by_label("Token").fill("a-wrong-token-of-many-characters")
        window.page.get_by_role("button", name="Log in").click()
        expect(window.page.get_by_role("alert")).to_be_visible()
        window.page.get_by_label("Token").fill(token.read_text().strip())
        window.page.get_by_role("button", name="Log in").click()
        window.page.wait_for_url(f"**/runs/{run.id}")
        [cookie] = window.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        for path in ("/login", "/runs", "/"):
            window.page.goto("about:blank")
            window.page.goto(f"{path}#token={token.read_text().strip()}")
            until(lambda: window.page.url == f"{guarded.address}/runs", "the address has no token")
        window.complaints = [one for one in window.complaints if "status of 4" not in one]


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name, or a name that begins so, has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "[document.activeElement.ariaLabel, document.activeElement.innerText,"
            " document.activeElement.labels?.[0]?.innerText]"
        )
        if any(text and text.strip().startswith(name) for text in focused):
            return
    pytest.fail(f"Tab does not reach {name}")
