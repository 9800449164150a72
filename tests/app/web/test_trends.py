# SPDX-License-Identifier: AGPL-3.0-only
"""The page of trends."""

import pytest
from tests.support.history_events import NOW_US, SOURCE, retrying, started, succeeded, uuid_of
from tests.support.pages import a_failed_task, moved, record, visitor

from queuedeck_agent import wire


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


def a_good_task(n=1, name="shop.send_receipt", queue="emails", worker="celery@mail-1"):
    task_id = uuid_of(f"good {n}")
    return (
        wire.TaskPublished(NOW_US, SOURCE, task_id, 1, name, queue),
        started(task_id, 200_000, name=name, worker=worker, queue=queue),
        succeeded(task_id, 450_000, run_us=250_000, name=name, worker=worker),
    )


async def test_figures_charts_and_names_of_the_last_day(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_good_task())
    page = (await ann.get(f"/p/{project.slug}/trends?range=24h")).text
    assert "2 attempts ended, 2 tasks sent" in page
    assert "50\u202f%" in page
    assert "p50 is 200 ms" in page
    assert 'aria-label="Outcomes, attempts per 15 m: succeeded 1, failed 1"' in page
    for name in ("capture_payment", "send_receipt"):
        assert f"<b>{name}</b>" in page


async def test_a_young_project_begins_with_its_hour(serving, project, ann):
    """A chart of a day would be empty but for its last bar."""
    await record(serving, project, *a_good_task())
    assert "last hour" in (await ann.get(f"/p/{project.slug}/trends")).text
    early = (moved(event, -5 * 3_600_000_000) for event in a_failed_task())
    await record(serving, project, *early, lane="b" * 32)
    page = (await ann.get(f"/p/{project.slug}/trends")).text
    assert "last 24 hours" in page
    assert "last hour" not in page


async def test_numbers_of_a_chart_are_there_as_a_table(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_good_task())
    page = (await ann.get(f"/p/{project.slug}/trends")).text
    table = page[page.index('aria-label="Outcomes, as table"') :]
    assert '<th scope="col">Succeeded</th><th scope="col">Failed</th>' in table
    assert "<td>1</td><td>1</td>" in table[: table.index("</table>")]


async def test_address_narrows_and_says_so(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_good_task())
    page = (await ann.get(f"/p/{project.slug}/trends?range=1h&task=shop.send_receipt")).text
    assert "1 attempt ended, 1 task sent" in page
    assert 'aria-label="Remove task:shop.send_receipt"' in page
    worker = (await ann.get(f"/p/{project.slug}/trends?worker=celery@mail-1")).text
    assert "1 attempt ended, 0 tasks sent" in worker


async def test_worker_with_another_filter_is_shown_alone(serving, project, ann):
    await record(serving, project, *a_good_task())
    page = (await ann.get(f"/p/{project.slug}/trends?worker=celery@mail-1&queue=x")).text
    assert "A worker cannot be combined" in page
    assert "1 attempt ended" in page


async def test_names_are_sorted_as_the_address_says(serving, project, ann):
    good = [event for n in range(3) for event in a_good_task(n)]
    await record(serving, project, *a_failed_task(), *good)
    page = (await ann.get(f"/p/{project.slug}/trends")).text
    assert page.index("send_receipt</b>") < page.index("capture_payment</b>")
    page = (await ann.get(f"/p/{project.slug}/trends?sort=share")).text
    assert page.index("capture_payment</b>") < page.index("send_receipt</b>")


async def test_retries_are_an_outcome_of_their_own(serving, project, ann):
    task_id = uuid_of("again")
    await record(serving, project, retrying(task_id, 3), succeeded(task_id, 9, attempt=2))
    page = (await ann.get(f"/p/{project.slug}/trends?range=7d")).text
    assert "0 failed, 1 retried, 0 lost" in page


@pytest.mark.parametrize("query", ["range=9y", "sort=name"])
async def test_unknown_words_are_refused(project, ann, query):
    assert (await ann.get(f"/p/{project.slug}/trends?{query}")).status_code in (400, 422)


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "30d"])
async def test_nothing_yet_is_said(project, ann, window):
    page = (await ann.get(f"/p/{project.slug}/trends?range={window}")).text
    assert "Nothing ended in this time." in page
