# SPDX-License-Identifier: AGPL-3.0-only
"""Operations in the browser and for programs: preview, confirm, buttons, export, who may."""

import asyncio
import csv
import io
import re

import pytest
from tests.support.control import audited
from tests.support.pages import a_failed_task, a_waiting_task, connect_agent, press, record, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.operations.queries import find_operation, list_operations


@pytest.fixture
async def shop(serving, project):
    """Three failed tasks and a waiting one, and an agent that could act on them."""
    for n in range(3):
        await record(serving, project, *a_failed_task(f"f-{n}"), lane=f"{n}" * 32)
    await record(serving, project, *a_waiting_task(), lane="e" * 32)
    connect_agent(serving, project)
    return project


def at(project, rest=""):
    return f"/p/{project.slug}/operations{rest}"


def fields_of(page):
    """The hidden fields of the form that confirms."""
    form = page.partition('id="confirm"')[2].partition("</form>")[0]
    pairs = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: value for name, value in pairs if name != "csrf_token"}


async def confirmed(client, project, **changes):
    page = (await client.get(at(project, "/preview?verb=retry&q=state:failed"))).text
    fields = fields_of(page) | {"rate": "50", "canary": "0", "reason": "bad deploy"}
    return await press(client, at(project), **(fields | changes))


async def test_list_offers_selection_to_operators_only(serving, shop):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        page = (await bob.get(f"/p/{shop.slug}/tasks?q=state:failed")).text
    async with visitor(serving, shop, Role.VIEWER) as eve:
        other = (await eve.get(f"/p/{shop.slug}/tasks?q=state:failed")).text
    assert len(re.findall(r'name="key" value="\d+"', page)) == 3
    assert 'value="state:failed" disabled data-bulk-question' in page
    assert 'name="key"' not in other


async def test_shared_list_holds_no_token(serving, shop):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        page = (await bob.get(f"/p/{shop.slug}/tasks", headers={"HX-Request": "true"})).text
    assert 'id="bulk"' in page
    assert bob.csrf not in page


async def test_preview_counts_and_confirm_makes_one_operation(serving, shop):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        preview = (await bob.get(at(shop, "/preview?verb=retry&q=state:failed"))).text
        assert "Retry 3 tasks" in preview
        fields = fields_of(preview) | {"rate": "50", "canary": "0", "reason": "bad deploy"}
        first = await press(bob, at(shop), **fields)
        second = await press(bob, at(shop), **fields)
        assert first.status_code == second.status_code == 303
        assert first.headers["location"] == second.headers["location"]
        page = (await bob.get(first.headers["location"])).text
    assert "bad deploy" in page
    assert "Disarm" in page
    assert len(await list_operations(serving.services.control, shop.id)) == 1


async def test_preview_of_selected_tasks_takes_only_these(serving, shop):
    task = await serving.services.history.find_task(shop.id, "celery", "f-1")
    async with visitor(serving, shop) as ann:
        page = (await ann.get(at(shop, f"/preview?verb=retry&key={task.row.key}"))).text
    assert "Retry 1 task" in page


async def test_move_asks_for_the_queue_first(serving, shop):
    async with visitor(serving, shop) as ann:
        page = (await ann.get(at(shop, "/preview?verb=move&q=state:queued"))).text
        assert "To which queue?" in page
        page = (await ann.get(at(shop, "/preview?verb=move&q=state:queued&queue=slow"))).text
    assert "`move` is not possible on celery here" in page.replace("&#39;", "'")


@pytest.mark.parametrize(
    "query",
    ["verb=retry&q=stat:failed", "verb=retry", "verb=drop&q=state:failed", "verb=retry&key=x"],
)
async def test_what_is_not_understood_is_refused(serving, shop, query):
    async with visitor(serving, shop) as ann:
        answer = await ann.get(at(shop, f"/preview?{query}"))
        assert answer.status_code in (400, 422)
        answer = await press(ann, at(shop), **dict(p.split("=") for p in query.split("&")))
        assert answer.status_code in (400, 422)
    assert await list_operations(serving.services.control, shop.id) == []


@pytest.mark.parametrize("changes", [{"rate": "0"}, {"rate": "x"}, {"canary": "-1"}])
async def test_numbers_outside_their_limits_are_refused(serving, shop, changes):
    async with visitor(serving, shop) as ann:
        assert (await confirmed(ann, shop, **changes)).status_code in (400, 422)


async def test_viewer_may_look_and_not_touch(serving, shop):
    async with visitor(serving, shop, Role.OPERATOR) as bob:
        place = (await confirmed(bob, shop)).headers["location"]
    async with visitor(serving, shop, Role.VIEWER) as eve:
        page = await eve.get(place)
        assert page.status_code == 200
        assert "Disarm</button>" not in page.text
        assert (await press(eve, f"{place}/disarm")).status_code == 403
        assert (await eve.get(at(shop, "/preview?verb=retry&q=state:failed"))).status_code == 403
    assert ("operation.disarm", "done") not in await audited(serving.services.control, shop.slug)


async def test_disarm_and_its_second_press(serving, shop):
    async with visitor(serving, shop) as ann:
        place = (await confirmed(ann, shop)).headers["location"]
        assert (await press(ann, f"{place}/disarm")).status_code == 303
        again = await press(ann, f"{place}/disarm")
        unknown = await press(ann, f"{place}/explode")
    assert (again.status_code, unknown.status_code) == (409, 404)
    assert "owner@shop.example" in again.text


async def test_export_holds_every_task_in_both_forms(serving, shop):
    async with visitor(serving, shop) as ann:
        place = (await confirmed(ann, shop)).headers["location"]
        operation_id = place.rpartition("/")[2]
        await _armed(serving, shop, operation_id)
        table = await ann.get(f"{place}/export.csv")
        whole = (await ann.get(f"{place}/export.json")).json()
        assert (await ann.get(f"{place}/export.xml")).status_code == 404
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert "attachment" in table.headers["content-disposition"]
    assert {row["task_id"] for row in rows} == {"f-0", "f-1", "f-2"}
    assert {task["task_id"] for task in whole["tasks"]} == {"f-0", "f-1", "f-2"}
    assert whole["counts"]["waiting"] == 3


async def test_failure_page_leads_to_the_preview(serving, shop):
    async with visitor(serving, shop) as ann:
        groups = (await ann.get(f"/p/{shop.slug}/errors")).text
        url = re.search(rf'href="(/p/{shop.slug}/errors/\d+)"', groups)[1]
        page = (await ann.get(url)).text
        link = re.search(r'href="([^"]+/operations/preview[^"]+)"', page)[1]
        preview = (await ann.get(link.replace("&amp;", "&"))).text
    assert "Retry 3 tasks" in preview


async def test_programs_preview_create_and_stop(serving, shop):
    token = await serving.token(shop, Role.OPERATOR)
    base = f"/api/v1/projects/{shop.slug}/operations"
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as api:
        seen = (
            await api.post(f"{base}/preview", json={"verb": "retry", "q": "state:failed"})
        ).json()
        assert (seen["total"], seen["acts"]) == (3, 3)
        body = {"verb": "retry", "q": "state:failed", "reason": "why", "id": "ab" * 16}
        made = await api.post(base, json=body)
        assert made.status_code == 202
        operation = made.json()["operation"]
        assert (await api.post(base, json=body)).json()["operation"]["id"] == operation["id"]
        assert (await api.post(base, json=body | {"qq": "x"})).status_code in (400, 422)
        assert (await api.post(base, json={"verb": "retry", "q": "stat:x"})).status_code == 400
        gone = await api.post(f"{base}/{operation['id']}/disarm")
        assert gone.status_code == 200
        assert (await api.post(f"{base}/{operation['id']}/pause")).status_code == 409
        assert (await api.get(f"{base}/{operation['id']}/tasks?outcome=done")).json()["tasks"] == []
        assert len((await api.get(base)).json()["operations"]) == 1
        keys = [task["key"] for task in await _listed(api, shop)]
        named = await api.post(f"{base}/preview", json={"verb": "retry", "keys": keys[:2]})
        assert named.json()["total"] == 2
        assert (await api.post(f"{base}/preview", json={"verb": "retry", "keys": ["x"]})).is_error


async def test_operation_of_another_project_is_not_found(serving, shop):
    other = await serving.project("Bank")
    async with visitor(serving, shop) as ann:
        operation_id = (await confirmed(ann, shop)).headers["location"].rpartition("/")[2]
    async with visitor(serving, other) as bob:
        assert (await bob.get(at(other, f"/{operation_id}"))).status_code == 404
        assert (await press(bob, at(other, f"/{operation_id}/disarm"))).status_code == 404


async def _listed(api, project):
    path = f"/api/v1/projects/{project.slug}/tasks?q=state:failed"
    return (await api.get(path)).json()["tasks"]


async def _armed(serving, project, operation_id):
    async with asyncio.timeout(10):
        while True:
            found = await find_operation(serving.services.control, project.id, operation_id)
            if found.state == "armed":
                return
            await asyncio.sleep(0.05)
