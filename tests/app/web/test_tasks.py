# SPDX-License-Identifier: AGPL-3.0-only
"""The task list and one task, as a member sees them."""

import pytest
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    cancelled,
    lost,
    retrying,
    started,
    succeeded,
)
from tests.support.pages import (
    a_failed_task,
    a_waiting_task,
    connect_agent,
    record,
    visitor,
)

from queuedeck.domain.accounts.permissions import Role
from queuedeck.web.views.strip import BAR_WIDTH, HEIGHT, LEAST_BARS
from queuedeck_agent import wire


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


async def test_list_shows_state_name_error_queue_and_worker(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks")).text
    for text in ("Failed", "<b>capture_payment</b>", "CardDeclined: the bank said no", "payments"):
        assert text in page
    assert "celery@pay-3" in page


async def test_list_asks_for_counts_and_strip_by_requests_of_their_own(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks?q=state:failed")).text
    for part, when in (("facets", "intersect once"), ("histogram", "load")):
        assert f'hx-get="/p/{project.slug}/tasks/{part}?q=state:failed" hx-trigger="{when}"' in page
    assert "<small>" not in page.partition('id="facets"')[2].partition("</nav>")[0]


async def test_facets_count_under_the_rest_of_the_filter(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    nav = (await ann.get(f"/p/{project.slug}/tasks/facets?q=state:failed")).text
    assert '<span class="cut">Failed</span><small>1</small>' in nav
    assert '<span class="cut">Queued</span><small>1</small>' in nav
    assert '<span class="cut">payments</span><small>1</small>' in nav
    assert "emails" not in nav
    assert "hx-get" not in nav
    assert f'href="/p/{project.slug}/tasks?q=state:failed%20queue:payments"' in nav
    assert f'href="/p/{project.slug}/tasks?q=state:failed%20-queue:payments"' in nav


async def test_facet_that_is_asked_for_by_its_end_is_one_line_and_can_be_taken_out(
    serving, project, ann
):
    await record(serving, project, *a_failed_task())
    nav = (await ann.get(f"/p/{project.slug}/tasks/facets?q=error:CardDeclined")).text
    assert nav.count('title="shop.CardDeclined"') == 1
    line = nav.partition('id="facet-error-shop.CardDeclined"')[2].partition("</a>")[0]
    assert f'href="/p/{project.slug}/tasks"' in line
    assert 'aria-current="true"' in line


async def test_strip_draws_outcomes_and_links_their_time(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    strip = (await ann.get(f"/p/{project.slug}/tasks/histogram?q=queue:payments")).text
    assert '<path class="c-fail"' in strip
    assert "1 failed" in strip
    link = strip.partition('<a href="')[2].partition('"')[0].replace("&amp;", "&")
    page = (await ann.get(link)).text
    assert "capture_payment" in page
    assert "send_receipt" not in page


async def test_strip_of_a_single_moment_is_a_thin_bar_at_its_end(serving, project, ann):
    await record(serving, project, *a_failed_task())
    strip = (await ann.get(f"/p/{project.slug}/tasks/histogram")).text
    assert f'viewBox="0 0 {LEAST_BARS * BAR_WIDTH} {HEIGHT}"' in strip
    assert f'd="M{LEAST_BARS * BAR_WIDTH - BAR_WIDTH // 2} ' in strip


@pytest.mark.parametrize("part", ["facets", "histogram"])
async def test_counts_of_a_mistake_are_refused(project, ann, part):
    answer = await ann.get(f"/p/{project.slug}/tasks/{part}?q=stat:failed")
    assert answer.status_code == 400


async def test_search_that_stops_early_says_how_far_it_looked(serving, project, ann, monkeypatch):
    from queuedeck.history.sql import walk

    await record(serving, project, *(event for n in range(6) for event in a_waiting_task(f"t-{n}")))
    monkeypatch.setattr(walk, "CHUNK_ROWS", 2)
    monkeypatch.setattr(walk, "BUDGET_ROWS", 2)
    page = (await ann.get(f"/p/{project.slug}/tasks?q=-queue:emails")).text
    assert "Nothing yet; searched back to <time" in page
    assert ">Go on</a>" in page
    assert "Nothing matches this filter" not in page


async def test_filter_of_the_url_is_shown_as_chips_and_applied(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_waiting_task())
    page = (await ann.get(f"/p/{project.slug}/tasks?q=state:failed")).text
    assert 'aria-label="Remove state:failed"' in page
    assert "capture_payment" in page
    assert "send_receipt" not in page


async def test_typed_filter_is_added_to_the_kept_one(project, ann):
    answer = await ann.get(f"/p/{project.slug}/tasks?kept=state:failed&q=queue:mail")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/p/{project.slug}/tasks?q=state:failed%20queue:mail"


async def test_mistake_in_the_filter_is_marked_and_selects_nothing(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks?q=stat:failed")).text
    assert "did you mean state:?" in page
    assert "<mark>stat</mark>:failed" in page
    assert "capture_payment" not in page


async def test_next_page_continues_where_the_first_ended(serving, project, ann):
    for number in range(60):
        name = f"shop.task_{number:02d}"
        await record(serving, project, *a_waiting_task(f"t-{number}", name), lane=f"{number:032x}")
    first = (await ann.get(f"/p/{project.slug}/tasks")).text
    assert first.count("<tr id=") == 50
    more = first.partition("data-more")[0].rpartition('href="')[2].partition('"')[0]
    second = (await ann.get(more.replace("&amp;", "&"))).text
    assert second.count("<tr id=") == 10
    assert "task_09" in second
    assert "Back to the newest" in second


async def test_htmx_gets_only_the_main_part(project, ann):
    answer = await ann.get(f"/p/{project.slug}/tasks", headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert '<main id="main"' in answer.text
    assert "HX-Request" in answer.headers["vary"]


async def test_history_restore_gets_the_whole_page(project, ann):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in (await ann.get(f"/p/{project.slug}/tasks", headers=headers)).text


async def test_empty_list_tells_never_connected_from_connected(serving, project, ann):
    page = (await ann.get(f"/p/{project.slug}/tasks")).text
    assert "No worker is connected yet" in page
    connection = connect_agent(serving, project)
    page = (await ann.get(f"/p/{project.slug}/tasks")).text
    assert "waiting for the first task" in page
    serving.services.registry.disconnect(connection)
    page = (await ann.get(f"/p/{project.slug}/tasks")).text
    assert "No agent is connected" in page


@pytest.mark.parametrize(
    ("role", "says"),
    [(Role.OWNER, "Connect your first worker"), (Role.VIEWER, "An owner or admin of the project")],
)
async def test_empty_list_offers_only_what_the_role_may_do(serving, project, role, says):
    async with visitor(serving, project, role) as client:
        page = (await client.get(f"/p/{project.slug}/tasks")).text
    assert says in page
    assert (f"/p/{project.slug}/connect" in page) is (role is Role.OWNER)


async def test_empty_list_says_when_the_filter_hides_all(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks?q=queue:none")).text
    assert "Nothing matches this filter" in page
    assert "Clear the filter" in page


async def test_task_shows_attempts_arguments_and_details(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    for text in ("Attempt 1", "CardDeclined", "region", "eu-2", "kept sealed", "redis://celery"):
        assert text in page


ENDS = [
    ("running", (started("t-1", 840_000),), "no outcome yet"),
    ("succeeded", (succeeded("t-1", 1_000_000, result=b'{"ok": 1}'),), "Succeeded"),
    ("retrying", (retrying("t-1", 1_000_000),), "Retried once"),
    ("cancelled", (cancelled("t-1", 1_000_000),), "Cancelled"),
    ("lost", (started("t-1", 840_000), lost("t-1", 1_000_000)), "Whether its work was done"),
]


@pytest.mark.parametrize(("state", "events", "text"), ENDS, ids=[end[0] for end in ENDS])
async def test_task_in_each_state_has_its_page(serving, project, ann, state, events, text):
    await record(serving, project, *a_waiting_task("t-1"), *events)
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert f"state pill s-{state}" in page
    assert text in page


async def test_scheduled_task_says_when_it_is_due(serving, project, ann):
    await record(serving, project, *a_waiting_task(eta_us=NOW_US + 3_600_000_000))
    assert "in 58 m" in (await ann.get(f"/p/{project.slug}/tasks")).text


@pytest.mark.parametrize("task_id", ["a/b", "50%2F", "x:y?z=1&w", "ü ñ", "a\\b", "#1"])
async def test_any_task_id_has_a_page_that_the_list_links(serving, project, ann, task_id):
    await record(serving, project, *a_waiting_task(task_id))
    page = (await ann.get(f"/p/{project.slug}/tasks")).text
    url = page.partition('class="name" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await ann.get(url)).status_code == 200


async def test_unknown_task_is_a_page_that_says_so(project, ann):
    answer = await ann.get(f"/p/{project.slug}/tasks/celery/none")
    assert answer.status_code == 404
    assert "There is no task with this id" in answer.text


async def test_retry_of_and_retried_as_are_links(serving, project, ann):
    events = (*a_failed_task("t-1"), *a_waiting_task("t-9", retry_of="t-1"))
    await record(serving, project, *events)
    new = (await ann.get(f"/p/{project.slug}/tasks/celery/t-9")).text
    assert f'href="/p/{project.slug}/tasks/celery/t-1">t-1</a>' in new
    old = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert f'href="/p/{project.slug}/tasks/celery/t-9">t-9</a>' in old


async def test_button_that_cannot_be_pressed_says_why(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert 'data-key="r" disabled title="No agent of this task' in page
    assert 'data-key="c" disabled title="The task has ended already' in page
    connect_agent(serving, project)
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert 'data-key="r" title="Celery gets a new task' in page


async def test_viewer_is_told_that_the_role_is_too_small(serving, project):
    await record(serving, project, *a_failed_task())
    connect_agent(serving, project)
    async with visitor(serving, project, Role.VIEWER) as viewer:
        page = (await viewer.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert 'data-key="r" disabled title="Your role here is viewer' in page
    assert "/audit" not in page
    assert "/connect" not in page


async def test_task_of_another_project_is_not_found(serving, project, ann):
    other = await serving.project("Other")
    await record(serving, other, *a_failed_task(), lane="b" * 32)
    assert (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).status_code == 404
    assert (await ann.get(f"/p/{other.slug}/tasks/celery/t-1")).status_code == 404
    assert (await ann.get(f"/p/{other.slug}/tasks")).status_code == 404


async def test_nobody_is_sent_to_the_login_and_back(serving, project):
    async with serving.http() as client:
        answer = await client.get(f"/p/{project.slug}/tasks")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next=/p/{project.slug}/tasks"


async def test_two_outcomes_of_one_attempt_are_said(serving, project, ann):
    end = wire.TaskSucceeded(NOW_US + 2_000_000, SOURCE, "t-1", 1, 5)
    await record(serving, project, *a_failed_task(), end)
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert "Two different outcomes were reported" in page


def _says(*events):
    return [kind(NOW_US - 2_000_000, SOURCE, "t-1", 1, *fields) for kind, *fields in events]


async def test_progress_tags_trace_and_log_of_a_running_task(serving, project, ann):
    line = wire.LogLine(NOW_US, 40, "app.pay", "declined <b>\nTraceback\n  ValueError")
    told = _says(
        (wire.TaskProgressed, 1_200, 5_000, "charging"),
        (wire.TaskTagged, ("customer-42", "a b")),
        (wire.TaskTraced, "ab" * 16, "cd" * 8),
        (wire.TaskLogged, 1, (line,), 3),
    )
    await record(serving, project, started("t-1", -3_000_000), *told)
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    assert '<progress max="100" value="24.0"' in page
    for text in ("24 %", "1\u202f200 of 5\u202f000", "charging", "customer-42"):
        assert text in page
    assert f'href="/p/{project.slug}/tasks?q=tag:%22a%20b%22"' in page
    assert f'data-copy="{"ab" * 16}"' in page
    assert f"/tasks?q=trace:{'ab' * 16}" in page
    assert "declined &lt;b&gt;" in page
    assert "1 line · 3 lines more left out" in page
    row = (await ann.get(f"/p/{project.slug}/tasks")).text
    assert '<progress max="100" value="24.0"' in row


async def test_task_that_says_nothing_has_no_part_for_it(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(f"/p/{project.slug}/tasks/celery/t-1")).text
    for part in ('id="progress"', 'class="tag"', 'class="log"', 'class="traced"'):
        assert part not in page


async def test_tags_are_a_facet_where_there_are_any(serving, project, ann):
    await record(serving, project, started("t-1"), *_says((wire.TaskTagged, ("vip",))))
    nav = (await ann.get(f"/p/{project.slug}/tasks/facets?q=")).text
    assert '<span class="cut">vip</span><small>1</small>' in nav
    found = (await ann.get(f"/p/{project.slug}/tasks?q=-tag:vip")).text
    assert "Nothing matches this filter" in found
