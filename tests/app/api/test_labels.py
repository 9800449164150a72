# SPDX-License-Identifier: AGPL-3.0-only
"""Rules of labels and marks for programs."""

import pytest

LABEL = {"kind": "label", "pattern": "app.*", "template": "{kwargs.job}"}
MARK = {"kind": "mark", "pattern": "*", "test": "exists", "path": "error", "title": "sad"}


@pytest.fixture
async def api(serving, project):
    headers = {"Authorization": f"Bearer {await serving.token(project)}"}
    async with serving.http(headers=headers) as client:
        client.base_url = f"{serving.url}/api/v1/projects/{project.slug}"
        yield client


async def test_rules_are_made_shown_changed_moved_and_deleted(api):
    made = await api.post("/labels", json=LABEL)
    assert made.status_code == 201
    first = made.json()
    second = (await api.post("/labels", json=LABEL | {"pattern": "b.*"})).json()
    await api.post("/labels", json=MARK)
    moved = (await api.post(f"/labels/{second['id']}/moves", json={"to": 0})).json()
    assert [rule["pattern"] for rule in moved["rules"]] == ["b.*", "app.*", "*"]
    changed = await api.put(f"/labels/{first['id']}", json=LABEL | {"template": "{args.0}"})
    assert changed.json()["template"] == "{args.0}"
    assert (await api.get(f"/labels/{first['id']}")).json() == changed.json()
    assert (await api.delete(f"/labels/{first['id']}")).status_code == 204
    assert (await api.get(f"/labels/{first['id']}")).status_code == 404
    off = (await api.put("/labels/defaults", json={"on": False})).json()
    assert ([rule["kind"] for rule in off["rules"]], off["defaults"]) == (["label", "mark"], False)
    assert (await api.get("/labels")).json() == off


async def test_mistake_is_told_with_its_place(api):
    answer = await api.post("/labels", json=LABEL | {"template": "{job}"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["place"]) == ("invalid_rule", {"offset": 1, "length": 3})
    assert error["message"].startswith("template: 'job' is no place")


async def test_preview_answers_without_keeping_anything(api):
    found = (await api.post("/labels/preview", json=LABEL)).json()
    assert (found["looked_at"], found["yields"]) == (0, [])
    assert (await api.get("/labels")).json()["rules"] == []
