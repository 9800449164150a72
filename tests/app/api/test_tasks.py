# SPDX-License-Identifier: AGPL-3.0-only
"""Lists, single tasks, totals and the audit log for programs."""

from urllib.parse import quote

import pytest
from litestar import Router
from tests.support.links import (
    NOW,
    SOURCE,
    Agent,
    a_hello,
    a_lane,
    a_part,
    a_source,
    link_to,
    published,
)

from queuedeck.api import routes
from queuedeck_agent import wire

ODD_ID = "a/b c:%2F?#é"


@pytest.fixture
async def api(serving, project):
    """The API of a project with five tasks, one of them failed."""
    lane = a_lane()
    events = [a_source(), *(published(f"t{n}") for n in range(4)), published(ODD_ID)]
    events += [
        wire.TaskStarted(NOW + 1, SOURCE, ODD_ID, 1, "shop.add", "w1", args=b'{"args":[1]}'),
        wire.TaskFailed(NOW + 2, SOURCE, ODD_ID, 1, "ValueError", "no", "Traceback ..."),
    ]
    async with link_to(serving.url, project.key, project.slug) as socket:
        agent = Agent(socket)
        await agent.greet(a_hello([lane]))
        await agent.ship(a_part(lane, len(events), *events))
        await agent.acked(lane, len(events))
    headers = {"Authorization": f"Bearer {await serving.token(project)}"}
    async with serving.http(headers=headers) as client:
        client.base_url = f"{serving.url}/api/v1/projects/{project.slug}"
        yield client


async def test_pages_go_on_until_there_is_no_next(api):
    ids, after = [], ""
    while after is not None:
        page = (await api.get("/tasks", params={"limit": 2, "after": after})).json()
        ids += [task["task_id"] for task in page["tasks"]]
        after = page["next"]
    assert ids == [ODD_ID, "t3", "t2", "t1", "t0"]


async def test_question_narrows_the_list(api):
    page = (await api.get("/tasks", params={"q": "state:failed"})).json()
    assert [task["task_id"] for task in page["tasks"]] == [ODD_ID]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "x"},
        {"after": "not a cursor"},
    ],
    ids=lambda params: "=".join(str(x) for pair in params.items() for x in pair),
)
async def test_question_that_is_not_valid_is_refused(api, params):
    answer = await api.get("/tasks", params=params)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    ("question", "place", "expected"),
    [
        ("mail colour:red", {"offset": 5, "length": 6}, "state:"),
        ("state:sleepy", {"offset": 6, "length": 6}, "queued"),
        ("wait:>", {"offset": 5, "length": 1}, "a duration such as"),
    ],
)
async def test_filter_that_is_not_valid_is_refused_with_its_place(api, question, place, expected):
    answer = await api.get("/tasks", params={"q": question})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_filter")
    assert error["place"] == place
    assert expected in error["expected"]
    assert error["message"]


async def test_matches_are_counted_by_what_they_are_and_over_time(api):
    facets = (await api.get("/tasks/facets", params={"q": "state:failed"})).json()
    assert facets["state"]["values"] == {"queued": 4, "failed": 1}
    assert facets["error"]["values"] == {"ValueError": 1}
    assert facets["queue"]["is_complete"]
    histogram = (await api.get("/tasks/histogram", params={"q": "state:failed"})).json()
    assert [bar["states"] for bar in histogram["bars"]] == [{"failed": 1}]


async def test_task_is_found_by_any_id(api):
    answer = (await api.get(f"/tasks/celery/{quote(ODD_ID, safe='')}")).json()
    assert answer["task"]["task_id"] == ODD_ID
    assert answer["task"]["state"] == "failed"
    assert answer["attempts"][0]["exception"] == "ValueError"
    assert [entry["kind"] for entry in answer["timeline"]][-1] == "task-failed"
    assert answer["args"] == {"args": [1]}


async def test_task_that_is_not_there_is_not_found(api):
    answer = await api.get("/tasks/celery/nope")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_totals_count_events_and_states(api):
    totals = (await api.get("/totals")).json()
    assert (totals["events"], totals["lost"], totals["quarantined"]) == (8, 0, 0)
    assert totals["states"] == {"celery": {"failed": 1, "queued": 4}}


async def test_audit_is_paged_by_number(api):
    first = (await api.get("/audit", params={"limit": 2})).json()
    second = (await api.get("/audit", params={"limit": 200, "after": first["next"]})).json()
    numbers = [entry["seq"] for entry in first["entries"] + second["entries"]]
    assert numbers == sorted(numbers, reverse=True)
    assert second["next"] is None
    assert [entry["action"] for entry in first["entries"]] == [
        "api-token.create",
        "agent-key.create",
    ]
    assert second["entries"][-1]["action"] == "project.create"


async def test_retry_without_an_able_agent_says_what_to_do(api):
    answer = await api.post(f"/tasks/celery/{quote(ODD_ID, safe='')}/retries")
    assert answer.status_code == 409
    assert answer.json()["error"]["message"]


async def test_openapi_names_every_route_and_no_page(serving):
    async with serving.http() as client:
        document = (await client.get("/api/v1/openapi.json")).json()
    declared = [one for one in routes.ROUTES if isinstance(one, Router)]
    assert len(document["paths"]) == sum(len(router.routes) for router in declared)
    assert all(path.startswith("/api/v1/projects/{project}/") for path in document["paths"])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


async def test_readiness_is_refused_when_the_stores_cannot_write(serving, monkeypatch):
    from queuedeck.errors import Unavailable

    async def full(_group):
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(serving.services.history, "record", full)
    async with serving.http() as client:
        answer = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "The disk is full.")
    assert int(answer.headers["retry-after"]) > 0


async def test_description_names_the_refusals_and_their_form(serving):
    async with serving.http() as client:
        described = (await client.get("/api/v1/openapi.json")).json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            refusals = {s: a for s, a in operation["responses"].items() if int(s) >= 400}
            assert {"400", "401", "403", "404"} <= set(refusals), (method, path)
            # A preview and a place in an order conflict with nothing; a rule keeps its kind.
            acts = method == "post" and not path.endswith(("/preview", "/labels/{rule}/moves"))
            acts = acts or (method == "put" and path.endswith("/labels/{rule}"))
            assert ("409" in refusals) == acts, (method, path)
            schemas = {
                a["content"]["application/json"]["schema"]["$ref"] for a in refusals.values()
            }
            assert schemas == {"#/components/schemas/ErrorAnswer"}
