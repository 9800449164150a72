# SPDX-License-Identifier: AGPL-3.0-only
"""Saved views in the browser: the menu, the page, opening one."""

import re

import pytest
from tests.support.pages import press, visitor

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.savedviews.system import SYSTEM_VIEWS


@pytest.fixture
async def ann(serving, project):
    async with visitor(serving, project) as client:
        yield client


def menu_of(page):
    return page.partition('id="views"')[2].partition('class="end"')[0]


async def save(client, project, name, team=""):
    fields = {"name": name, "q": "queue:mail", "team": team}
    return await press(client, f"/p/{project.slug}/views", **fields)


async def test_menu_has_the_views_of_every_project_first(project, ann):
    await save(ann, project, "Ours", team="1")
    await save(ann, project, "Mine")
    menu = menu_of((await ann.get(f"/p/{project.slug}/tasks")).text)
    names = re.findall(r'class="cut">([^<]+)<', menu)
    assert names[: len(SYSTEM_VIEWS) + 2] == [*(one.name for one in SYSTEM_VIEWS), "Mine", "Ours"]


async def test_fragments_that_are_shared_hold_no_ones_views(project, ann):
    await save(ann, project, "Mine")
    page = (await ann.get(f"/p/{project.slug}/tasks", headers={"HX-Request": "true"})).text
    assert 'id="views" hx-morph-skip></div>' in page
    assert "Mine" not in page


async def test_view_that_was_opened_last_stands_beside_the_menu(project, ann):
    answer = await ann.get(f"/p/{project.slug}/views/failed")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/p/{project.slug}/tasks?q=state:failed%20at:1d"
    assert f"Path=/p/{project.slug}" in answer.headers["set-cookie"]
    page = (
        await ann.get(answer.headers["location"], headers={"cookie": _cookies(ann, "failed")})
    ).text
    assert re.search(r'class="btn bare last"[^>]*><span class="cut">Failed, last 24 h<', page)


def _cookies(client, last):
    return "; ".join(
        [*(f"{name}={value}" for name, value in client.cookies.items()), f"view={last}"]
    )


async def test_remembered_view_that_is_gone_leaves_no_chip(project, ann):
    headers = {"cookie": _cookies(ann, "999")}
    page = (await ann.get(f"/p/{project.slug}/tasks", headers=headers)).text
    assert "btn bare last" not in page


async def test_filter_is_saved_opened_and_removed(project, ann):
    url = f"/p/{project.slug}/views"
    assert 'value="queue:mail"' in (await ann.get(f"{url}?q=queue:mail")).text
    made = (await save(ann, project, "Mail")).headers["location"]
    opened = await ann.get(made)
    assert opened.headers["location"] == f"/p/{project.slug}/tasks?q=queue:mail"
    assert "saved a view" in (await ann.get(f"/p/{project.slug}/audit")).text
    assert (await press(ann, f"{made}/removals")).headers["location"] == url
    assert (await ann.get(made)).status_code == 404


async def test_mistake_is_said_beside_what_was_typed(project, ann):
    await save(ann, project, "Mail")
    answer = await save(ann, project, "MAIL")
    assert answer.status_code == 422
    assert "There is a view named" in answer.text
    assert 'value="MAIL"' in answer.text


async def test_viewer_is_offered_no_sharing_and_is_refused_it(serving, project, ann):
    made = (await save(ann, project, "Ours", team="1")).headers["location"]
    async with visitor(serving, project, Role.VIEWER) as eve:
        page = (await eve.get(f"/p/{project.slug}/views?q=queue:mail")).text
        assert 'name="team"' not in page
        assert "/removals" not in page
        assert (await save(eve, project, "Hers", team="1")).status_code == 403
        assert (await press(eve, f"{made}/removals")).status_code == 403


async def test_views_of_others_are_not_there(serving, project, ann):
    made = (await save(ann, project, "Mine")).headers["location"]
    async with visitor(serving, project, Role.ADMIN) as bob:
        assert (await bob.get(made)).status_code == 404
        assert (await press(bob, f"{made}/removals")).status_code == 404


async def test_programs_list_save_and_remove(serving, project):
    headers = {"Authorization": f"Bearer {await serving.token(project)}"}
    base = f"/api/v1/projects/{project.slug}/views"
    async with serving.http(headers=headers) as api:
        made = await api.post(base, json={"name": "Mail", "q": "queue:mail"})
        assert made.status_code == 201
        found = (await api.get(base)).json()
        assert [one["ref"] for one in found["system"]] == [one.ref for one in SYSTEM_VIEWS]
        assert [one["name"] for one in found["saved"]] == ["Mail"]
        refused = await api.post(base, json={"name": "Own", "q": "queue:mail", "team": False})
        assert refused.status_code == 422
        wrong = await api.post(base, json={"name": "X", "q": "quee:mail"})
        assert wrong.json()["error"]["place"] == {"offset": 0, "length": 4}
        gone = await api.delete(f"{base}/{made.json()['view']['id']}")
        assert gone.status_code == 204
        assert (await api.get(base)).json()["saved"] == []
