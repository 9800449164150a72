# SPDX-License-Identifier: AGPL-3.0-only
"""Working in the task list, in headless Chromium on a real worker's tasks: suggestions, the brush,
views, the task beside the list, and what live updates must leave alone.

The tests of this file share one page; each begins with an address of its own.
"""

import re

import pytest
from playwright.sync_api import expect
from tests.support.e2e_browser import chromium, session
from tests.support.e2e_server import eventually

SOON_MS = 30_000
TASKS = 6


@pytest.fixture(scope="module")
def ran(worker, tasks, project):
    """Tasks that ran, half of which failed."""
    for number in range(TASKS // 2):
        tasks.add.delay(number, 1)
        tasks.fail.delay(f"no order {number}")
    ends = ("succeeded", "failed")
    eventually(lambda: sum(s in ends for s in project.api.states().values()) >= TASKS, 60)


@pytest.fixture(scope="module")
def cookies(server, project, ran):
    made = server.cli("createuser", "ann@example.com", "--project", project.slug)
    with chromium() as browser, session(browser, server.url) as (context, _):
        page = context.new_page()
        page.goto("/login")
        page.fill("[name=email]", "ann@example.com")
        page.fill("[name=password]", made["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile(r"/p/"))
        yield browser, context.storage_state()


@pytest.fixture(scope="module")
def page(server, cookies):
    browser, state = cookies
    options = {"storage_state": state, "timezone_id": "America/New_York"}
    with session(browser, server.url, **options) as (context, complaints):
        page = context.new_page()
        yield page
        assert not complaints


@pytest.fixture
def at(page, project):
    """Opens the list with a filter, complete with its strip."""

    def go(question=""):
        page.goto(f"/p/{project.slug}/tasks{question}")
        expect(page.locator("#strip[data-from]")).to_be_visible(timeout=SOON_MS)

    return go


def offers(page):
    return page.locator("#suggest [role=option]")


def test_suggestion_is_taken_by_keyboard_and_the_box_goes_on(page, at):
    at()
    box = page.get_by_role("combobox", name="Filter tasks")
    box.click()
    expect(offers(page).first).to_contain_text("state:")
    box.press_sequentially("task:fai")
    expect(offers(page)).to_have_count(1)
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "suggest-0")
    box.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=task(:|%3A)\S*fail"))
    expect(page.locator("#query .chip")).to_contain_text("fail")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    box.press_sequentially("state:su")
    offers(page).filter(has_text="succeeded").click()
    expect(page.locator("#query .chip")).to_have_count(2)


def test_mistake_is_shown_at_its_place_while_typing(page, at):
    at()
    box = page.get_by_role("combobox", name="Filter tasks")
    box.click()
    box.press_sequentially("stat:failed")
    expect(page.locator("#suggest mark")).to_have_text("stat")
    box.press("Escape")
    expect(page.locator("#suggest")).to_be_hidden()
    expect(box).to_be_focused()


def drag(page, low, high):
    box = page.locator("#strip .plot").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * low, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * high, y, steps=4)
    page.mouse.up()


def test_brush_narrows_the_times_and_there_is_a_way_back(page, at):
    at("?q=state:failed")
    drag(page, 0.02, 0.5)
    expect(page).to_have_url(re.compile(r"state:failed(%20| )at:\d{4}-"))
    page.get_by_role("link", name="All times").first.click()
    expect(page).to_have_url(re.compile(r"\?q=state:failed$"))
    expect(page.locator("#rows tr")).to_have_count(TASKS // 2)


def test_brush_over_all_bars_keeps_all_tasks(page, at):
    """In a zone that is not UTC: the times of the form are the viewer's, the filter's are UTC."""
    at("?q=state:failed")
    drag(page, 0.0, 0.999)
    expect(page).to_have_url(re.compile(r"at:"))
    expect(page.locator("#rows tr")).to_have_count(TASKS // 2)


def test_two_times_narrow_as_well(page, at):
    at("?q=state:failed")
    page.get_by_label("Narrow to a time").click()
    page.get_by_role("textbox", name="From").fill("2020-01-01T00:00:00")
    page.get_by_role("textbox", name="to", exact=True).fill("2020-01-01T07:00:00")
    page.get_by_role("button", name="Narrow", exact=True).click()
    expect(page).to_have_url(re.compile(r"at:2020-01-01T05:00\.\.2020-01-01T12:00"))
    expect(page.get_by_role("link", name="All times").first).to_be_visible()


def test_bars_are_walked_and_chosen_by_keyboard(page, at):
    at()
    bars = page.locator("#strip .plot a")
    bars.last.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Escape")
    expect(page.locator("#brushed")).to_be_empty()
    bars.last.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"at:"))


def test_task_beside_the_list_follows_the_row_and_survives_live_updates(page, at, tasks):
    at("?q=state:failed")
    page.keyboard.press("j")
    page.keyboard.press("o")
    panel = page.get_by_role("complementary", name="Task beside the list")
    expect(panel).to_contain_text("ValueError")
    first = page.url
    assert "peek=" in first
    page.keyboard.press("j")
    expect(page).not_to_have_url(first)
    expect(page.locator("#rows tr[aria-current]")).to_have_count(1)
    focused = page.evaluate("document.activeElement.closest('tr').id")
    tasks.fail.delay("one more")
    expect(page.locator("[data-show-new]")).to_be_visible(timeout=SOON_MS)
    assert page.evaluate("document.activeElement.closest('tr').id") == focused
    expect(panel).to_be_visible()
    page.reload()
    expect(panel).to_contain_text("ValueError")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page).to_have_url(re.compile(r"\?q=state:failed$"))


def test_suggestions_stay_open_while_tasks_come(page, at, tasks):
    at()
    box = page.get_by_role("combobox", name="Filter tasks")
    box.click()
    box.press_sequentially("que")
    expect(offers(page).first).to_contain_text("queue:")
    page.mouse.move(0, 0)
    total = page.locator("#list-total").inner_text()
    tasks.add.delay(9, 9)
    expect(page.locator("#list-total")).not_to_have_text(total, timeout=SOON_MS)
    expect(offers(page).first).to_be_visible()
    expect(box).to_be_focused()
    expect(box).to_have_value("que")


def test_view_is_saved_and_stands_beside_the_menu(page, at):
    at("?q=state:failed")
    page.get_by_role("link", name="Save", exact=True).click()
    page.get_by_label("Name").fill("Night shift")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?q=state:failed$"))
    expect(page.locator("#views .last")).to_have_text("Night shift")
    page.locator("#views summary").click()
    page.locator("#views").get_by_role("link", name="Lost", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?q=state:lost$"))
    expect(page.locator("#views .last")).to_have_text("Lost")


def test_facets_are_put_away_and_stay_so(page, at):
    at()
    page.get_by_role("button", name="Facets").click()
    expect(page.locator("#facets")).to_be_hidden()
    page.reload()
    expect(page.locator("#facets")).to_be_hidden()
    page.get_by_role("button", name="Facets").click()
    expect(page.locator("#facets small").first).to_be_visible(timeout=SOON_MS)


def test_narrow_screen_has_a_sheet_of_facets_and_a_brush_for_fingers(server, cookies, project):
    browser, state = cookies
    options = {"storage_state": state, "has_touch": True, "is_mobile": True}
    options |= {"viewport": {"width": 375, "height": 700}}
    with session(browser, server.url, **options) as (context, complaints):
        page = context.new_page()
        page.goto(f"/p/{project.slug}/tasks")
        expect(page.locator("#strip[data-from]")).to_be_visible(timeout=SOON_MS)
        assert page.locator("#facets small").count() == 0, "nothing is counted that nobody sees"
        page.get_by_role("button", name="Facets").click()
        page.locator("#facets a", has_text="Failed").first.click()
        expect(page).to_have_url(re.compile(r"state:failed"))
        page.get_by_role("button", name="Show the tasks").click()
        expect(page.locator("#facets")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        expect(page.locator("#strip[data-from]")).to_be_visible(timeout=SOON_MS)
        _swipe(page, context)
        expect(page).to_have_url(re.compile(r"at:"))
        assert not complaints


def _swipe(page, context):
    box = page.locator("#strip .plot").bounding_box()
    touch = context.new_cdp_session(page)
    y = box["y"] + 20
    for kind, part in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.9)):
        points = [{"x": box["x"] + box["width"] * part, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
