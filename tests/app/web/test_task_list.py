# SPDX-License-Identifier: AGPL-3.0-only
"""Working in the task list: suggestions, times, files, the task beside the list, and what each
costs in statements.
"""

import csv
import io
import re

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.tasks import export


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


def base(project):
    return f"/p/{project.slug}/tasks"


async def test_suggestions_are_options_of_a_listbox(serving, project, ann):
    await record(serving, project, *a_failed_task())
    part = (await ann.get(f"{base(project)}/suggestions?q=task:cap")).text
    assert 'role="listbox" id="suggest-list"' in part
    assert 'data-text="task:shop.capture_payment" data-whole' in part
    assert "<small" in part
    assert "1 suggestion<" in part


async def test_suggestions_say_what_is_wrong_at_its_place(project, ann):
    part = (await ann.get(f"{base(project)}/suggestions?q=stat:failed")).text
    assert "<mark>stat</mark>:failed" in part
    assert "did you mean state:?" in part
    assert 'role="option"' not in part


async def test_box_is_a_combobox_and_a_plain_form(project, ann):
    page = (await ann.get(f"{base(project)}?q=state:failed")).text
    assert f'hx-get="{base(project)}/suggestions?kept=state:failed"' in page
    assert 'role="combobox"' in page
    assert 'aria-controls="suggest-list"' in page
    assert '<input type="hidden" name="kept" value="state:failed">' in page


TIMES = [
    ("", "2026-11-20T14:00", "2026-11-20T15:00", "at:2026-11-20T14:00..2026-11-20T15:00"),
    ("state:failed at:2h", "2026-11-20T14:00:00.000Z", "", "state:failed at:2026-11-20T14:00.."),
    ("state:failed at:2h", "", "", "state:failed"),
    ("", "soon", "", "at:soon.."),
    ("", "2026-11-20T15:00", "2026-11-20T14:00", "at:2026-11-20T15:00..2026-11-20T14:00"),
]


@pytest.mark.parametrize(("q", "since", "until", "expected"), TIMES)
async def test_two_times_become_a_term(project, ann, q, since, until, expected):
    fields = {"q": q, "since": since, "until": until}
    answer = await ann.get(f"{base(project)}/range", params=fields)
    assert answer.status_code == 303
    asked = answer.headers["location"].partition("?q=")[2].replace("%20", " ")
    assert asked == expected


async def test_times_that_cannot_be_read_are_said_at_their_place(project, ann):
    answer = await ann.get(f"{base(project)}/range?since=soon")
    page = (await ann.get(answer.headers["location"])).text
    assert "at:<mark>soon..</mark>" in page


async def test_narrowed_list_has_a_way_back_also_when_it_is_empty(serving, project, ann):
    await record(serving, project, *a_failed_task())
    times = "at:2020-01-01..2020-01-02"
    strip = (await ann.get(f"{base(project)}/histogram?q=state:failed {times}")).text
    page = (await ann.get(f"{base(project)}?q=state:failed {times}")).text
    for part in (strip, page):
        assert re.search(rf'href="{base(project)}\?q=state:failed">.*All times', part)


async def test_filter_is_written_as_csv_and_json(serving, project, ann):
    await record(serving, project, *a_failed_task(), *a_waiting_task(name="=cmd"))
    answer = await ann.get(f"{base(project)}/export.csv?q=state:queued")
    assert answer.headers["content-disposition"] == 'attachment; filename="tasks-shop.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["task_id"], row["state"]) == ("t-2", "queued")
    assert row["name"] == "'=cmd", "spreadsheets would run it"
    found = (await ann.get(f"{base(project)}/export.json?q=state:failed")).json()
    assert found["filter"] == "state:failed"
    assert [task["task_id"] for task in found["tasks"]] == ["t-1"]
    assert found["next"] is None


async def test_file_is_bounded_and_says_where_it_goes_on(serving, project, ann, monkeypatch):
    monkeypatch.setattr(export, "MOST_TASKS", 5)
    monkeypatch.setattr(export, "PAGE", 2)
    for number in range(8):
        await record(serving, project, *a_waiting_task(f"t-{number}"), lane=f"{number:032x}")
    found = (await ann.get(f"{base(project)}/export.json")).json()
    assert [task["task_id"] for task in found["tasks"]] == [f"t-{n}" for n in range(7, 2, -1)]
    url = f"/api/v1/projects/{project.slug}/tasks"
    headers = {"Authorization": f"Bearer {await serving.token(project)}"}
    async with serving.http(headers=headers) as api:
        rest = (await api.get(url, params={"after": found["next"]})).json()
        text = (await api.get(f"{url}.csv?q=state:queued")).text
    assert [task["task_id"] for task in rest["tasks"]] == ["t-2", "t-1", "t-0"]
    assert len(list(csv.DictReader(io.StringIO(text)))) == 5


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_mistake_makes_no_file(project, ann, kind):
    answer = await ann.get(f"{base(project)}/export.{kind}?q=stat:failed")
    assert answer.status_code == 400
    assert "content-disposition" not in answer.headers


async def key_of(client, project):
    page = (await client.get(base(project))).text
    return re.search(r'name="peek" value="(\d+)"', page)[1]


async def test_address_with_a_task_shows_it_beside_the_list(serving, project, ann):
    await record(serving, project, *a_failed_task())
    connect_agent(serving, project)
    key = await key_of(ann, project)
    page = (await ann.get(f"{base(project)}?q=state:failed&peek={key}")).text
    panel = page.partition('<aside class="peek"')[2].partition("</aside>")[0]
    assert f'data-key="{key}"' in panel
    for text in ("CardDeclined", "eu-2", 'data-key="r"', "<b>capture_payment</b>"):
        assert text in panel
    assert f'href="{base(project)}?q=state:failed" data-peek-close' in panel
    part = (await ann.get(f"{base(project)}/peek?key={key}&q=state:failed")).text
    assert part.partition("<aside")[2].partition("</aside>")[0].count("CardDeclined")


async def test_task_that_is_gone_leaves_the_panel_closed(project, ann):
    for path in ("/peek?key=1", "?peek=1", f"/peek?key={1 << 70}"):
        page = (await ann.get(base(project) + path)).text
        assert re.search(r'<aside class="peek" id="peek"[^>]* hidden>', page)


async def test_task_of_another_project_is_not_shown_beside(serving, project, ann):
    other = await serving.project("Other")
    await record(serving, other, *a_failed_task(), lane="b" * 32)
    async with visitor(serving, other, Role.ADMIN) as bob:
        key = await key_of(bob, other)
    assert "CardDeclined" not in (await ann.get(f"{base(project)}/peek?key={key}")).text


async def test_shared_rows_do_not_hold_the_task_beside_them(serving, project, ann):
    await record(serving, project, *a_failed_task())
    page = (await ann.get(base(project), headers={"HX-Request": "true"})).text
    assert re.search(r'<aside class="peek" id="peek"[^>]* hidden>\s*</aside>', page)


@pytest.fixture
def asked(serving, monkeypatch):
    """Statements on the control database and questions to the history, since it was cleared."""
    counted = []

    def note(*arguments):
        counted.append(("control", arguments[2].split(maxsplit=1)[0]))

    history = serving.services.history
    for name in ("list_tasks", "facets", "histogram", "values", "totals", "find_task",
                 "read_selected", "failure_of", "trend"):  # fmt: skip
        read = getattr(history, name)

        def count(*arguments, name=name, read=read, **more):
            counted.append(("history", name))
            return read(*arguments, **more)

        monkeypatch.setattr(history, name, count)
    event.listen(Engine, "before_cursor_execute", note)
    yield counted
    event.remove(Engine, "before_cursor_execute", note)


COSTS = [
    ("", ["list_tasks", "totals"]),
    ("?peek={key}", ["list_tasks", "totals", "read_selected", "find_task", "failure_of"]),
    ("/peek?key={key}", ["read_selected", "find_task", "failure_of"]),
    ("/suggestions?q=task:c", ["values"]),
    ("/suggestions?q=", []),
    ("/facets", ["facets"]),
    ("/histogram", ["histogram"]),
]


@pytest.mark.parametrize(("path", "reads"), COSTS, ids=[path or "list" for path, _ in COSTS])
async def test_part_of_the_list_asks_no_more_than_it_shows(
    serving, project, ann, asked, path, reads
):
    for number in range(20):
        await record(serving, project, *a_failed_task(f"t-{number}"), lane=f"{number:032x}")
    key = await key_of(ann, project)
    asked.clear()
    assert (await ann.get(base(project) + path.format(key=key))).status_code == 200
    assert sorted(name for where, name in asked if where == "history") == sorted(reads)
    assert sum(where == "control" for where, _ in asked) <= 8
