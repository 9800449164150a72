# SPDX-License-Identifier: AGPL-3.0-only
"""Every route against everybody: nobody, each role by cookie and by token, and other projects."""

import re

import pytest
from litestar import Litestar, get

from queuedeck.asgi import create_app
from queuedeck.domain.accounts.permissions import Permission, Role, allows
from queuedeck.domain.audit.queries import list_entries
from queuedeck.entrance.guards import (
    Requires,
    UndeclaredRoute,
    check_routes_declare,
    declaration_of,
    public,
    route_handlers,
)

TASK = "/tasks/{engine}/{task_id}"
OPERATIONS = "/operations"
QUEUE = "/queues/{engine}/{source}/{queue}"
WORKER = "/workers/{agent}/{source}"
DECLARED = {
    "GET /": "signed in",
    "GET /agent/link": "public",
    "GET /healthz": "public",
    "GET /readyz": "public",
    "GET /live": "signed in",
    "GET /login": "public",
    "POST /login": "public",
    "POST /logout": "signed in",
    "GET /setup/{token}": "public",
    "POST /setup/{token}": "public",
    "GET /static/{version}/{name}": "public",
    "GET /styleguide": "public",
    "GET /api/v1/openapi.json": "public",
    "GET /api/v1/openapi.json/openapi.json": "public",
    "GET /api/v1/openapi.json/{path}": "public",
    "GET /api/v1/projects/{project}/tasks": "tasks:read",
    "GET /api/v1/projects/{project}/tasks/facets": "tasks:read",
    "GET /api/v1/projects/{project}/tasks/histogram": "tasks:read",
    f"GET /api/v1/projects/{{project}}{TASK}": "tasks:read",
    "GET /api/v1/projects/{project}/tasks.csv": "tasks:read",
    "GET /api/v1/projects/{project}/views": "tasks:read",
    "POST /api/v1/projects/{project}/views": "tasks:read",
    "DELETE /api/v1/projects/{project}/views/{view_id}": "tasks:read",
    "GET /api/v1/projects/{project}/totals": "tasks:read",
    f"POST /api/v1/projects/{{project}}{TASK}/retries": "tasks:retry",
    f"POST /api/v1/projects/{{project}}{TASK}/cancellations": "tasks:cancel",
    "GET /api/v1/projects/{project}/commands/{command_id}": "tasks:read",
    f"POST /api/v1/projects/{{project}}{TASK}/edits": "tasks:submit",
    f"POST /api/v1/projects/{{project}}{TASK}/moves": "tasks:move",
    f"POST /api/v1/projects/{{project}}{TASK}/priorities": "tasks:move",
    f"POST /api/v1/projects/{{project}}{TASK}/requeues": "tasks:retry",
    f"POST /api/v1/projects/{{project}}{TASK}/reconciliations": "queues:inspect",
    "GET /api/v1/projects/{project}/registered-tasks": "tasks:read",
    "POST /api/v1/projects/{project}/submissions": "tasks:submit",
    "GET /api/v1/projects/{project}/audit": "audit:read",
    "GET /api/v1/projects/{project}/reconciliation": "agents:read",
    "GET /api/v1/projects/{project}/storage": "tasks:read",
    "PUT /api/v1/projects/{project}/storage/retention": "project:manage",
    "GET /api/v1/projects/{project}/labels": "tasks:read",
    "POST /api/v1/projects/{project}/labels": "labels:manage",
    "POST /api/v1/projects/{project}/labels/preview": "labels:manage",
    "PUT /api/v1/projects/{project}/labels/defaults": "labels:manage",
    "GET /api/v1/projects/{project}/labels/{rule}": "tasks:read",
    "PUT /api/v1/projects/{project}/labels/{rule}": "labels:manage",
    "DELETE /api/v1/projects/{project}/labels/{rule}": "labels:manage",
    "POST /api/v1/projects/{project}/labels/{rule}/moves": "labels:manage",
    "GET /api/v1/projects/{project}/trends": "tasks:read",
    "GET /api/v1/projects/{project}/trends/tasks": "tasks:read",
    "GET /api/v1/projects/{project}/errors": "tasks:read",
    "GET /api/v1/projects/{project}/errors/{group}": "tasks:read",
    f"GET /api/v1/projects/{{project}}{OPERATIONS}": "tasks:read",
    f"POST /api/v1/projects/{{project}}{OPERATIONS}": "operations:run",
    f"POST /api/v1/projects/{{project}}{OPERATIONS}/preview": "operations:run",
    f"GET /api/v1/projects/{{project}}{OPERATIONS}/{{operation_id}}": "tasks:read",
    f"GET /api/v1/projects/{{project}}{OPERATIONS}/{{operation_id}}/tasks": "tasks:read",
    f"GET /api/v1/projects/{{project}}{OPERATIONS}/{{operation_id}}/export/{{name}}": "tasks:read",
    f"POST /api/v1/projects/{{project}}{OPERATIONS}/{{operation_id}}/{{button}}": "operations:run",
    "GET /api/v1/projects/{project}/queues": "tasks:read",
    f"GET /api/v1/projects/{{project}}{QUEUE}": "tasks:read",
    "GET /api/v1/projects/{project}/pauses": "tasks:read",
    f"POST /api/v1/projects/{{project}}{QUEUE}/pauses": "queues:pause",
    f"POST /api/v1/projects/{{project}}{QUEUE}/resumptions": "queues:pause",
    f"POST /api/v1/projects/{{project}}{QUEUE}/purges": "queues:purge",
    f"POST /api/v1/projects/{{project}}{QUEUE}/peeks": "queues:inspect",
    f"POST /api/v1/projects/{{project}}{QUEUE}/dead-letters": "queues:inspect",
    f"POST /api/v1/projects/{{project}}{QUEUE}/requeues": "tasks:retry",
    "GET /api/v1/projects/{project}/workers": "agents:read",
    f"POST /api/v1/projects/{{project}}{WORKER}/pool-changes": "workers:control",
    f"POST /api/v1/projects/{{project}}{WORKER}/rate-limits": "workers:control",
    f"POST /api/v1/projects/{{project}}{WORKER}/drains": "workers:control",
    f"POST /api/v1/projects/{{project}}{WORKER}/undrains": "workers:control",
    f"POST /api/v1/projects/{{project}}{WORKER}/restarts": "workers:control",
    f"GET /p/{{project}}{OPERATIONS}": "tasks:read",
    f"POST /p/{{project}}{OPERATIONS}": "operations:run",
    f"GET /p/{{project}}{OPERATIONS}/preview": "operations:run",
    f"GET /p/{{project}}{OPERATIONS}/{{operation_id}}": "tasks:read",
    f"GET /p/{{project}}{OPERATIONS}/{{operation_id}}/{{part}}": "tasks:read",
    f"POST /p/{{project}}{OPERATIONS}/{{operation_id}}/{{part}}": "operations:run",
    "GET /p/{project}/queues": "tasks:read",
    f"GET /p/{{project}}{QUEUE}": "tasks:read",
    f"POST /p/{{project}}{QUEUE}/pauses": "queues:pause",
    f"POST /p/{{project}}{QUEUE}/resumptions": "queues:pause",
    f"POST /p/{{project}}{QUEUE}/purges": "queues:purge",
    f"POST /p/{{project}}{QUEUE}/peeks": "queues:inspect",
    f"POST /p/{{project}}{QUEUE}/dead-letters": "queues:inspect",
    f"POST /p/{{project}}{QUEUE}/requeues": "tasks:retry",
    "GET /p/{project}/workers": "agents:read",
    f"POST /p/{{project}}{WORKER}/{{noun}}": "workers:control",
    "GET /p/{project}/storage": "tasks:read",
    "POST /p/{project}/storage": "project:manage",
    "GET /p/{project}/labels": "tasks:read",
    "GET /p/{project}/labels/preview": "labels:manage",
    "POST /p/{project}/labels/defaults": "labels:manage",
    "GET /p/{project}/labels/{rule}": "labels:manage",
    "POST /p/{project}/labels/{rule}": "labels:manage",
    "POST /p/{project}/labels/{rule}/deletions": "labels:manage",
    "POST /p/{project}/labels/{rule}/moves": "labels:manage",
    "GET /p/{project}/trends": "tasks:read",
    "GET /p/{project}/errors": "tasks:read",
    "GET /p/{project}/errors/{group}": "tasks:read",
    "GET /p/{project}/tasks": "tasks:read",
    "GET /p/{project}/tasks/facets": "tasks:read",
    "GET /p/{project}/tasks/histogram": "tasks:read",
    "GET /p/{project}/tasks/range": "tasks:read",
    "GET /p/{project}/tasks/suggestions": "tasks:read",
    "GET /p/{project}/tasks/peek": "tasks:read",
    "GET /p/{project}/tasks/export.csv": "tasks:read",
    "GET /p/{project}/tasks/export.json": "tasks:read",
    "GET /p/{project}/views": "tasks:read",
    "POST /p/{project}/views": "tasks:read",
    "GET /p/{project}/views/{ref}": "tasks:read",
    "POST /p/{project}/views/{ref}/removals": "tasks:read",
    f"GET /p/{{project}}{TASK}": "tasks:read",
    f"POST /p/{{project}}{TASK}/retries": "tasks:retry",
    f"POST /p/{{project}}{TASK}/cancellations": "tasks:cancel",
    "GET /p/{project}/commands/{command_id}": "tasks:read",
    f"GET /p/{{project}}{TASK}/edits": "tasks:submit",
    f"POST /p/{{project}}{TASK}/edits": "tasks:submit",
    f"POST /p/{{project}}{TASK}/moves": "tasks:move",
    f"POST /p/{{project}}{TASK}/priorities": "tasks:move",
    f"POST /p/{{project}}{TASK}/requeues": "tasks:retry",
    f"POST /p/{{project}}{TASK}/reconciliations": "queues:inspect",
    "GET /p/{project}/submissions": "tasks:submit",
    "POST /p/{project}/submissions": "tasks:submit",
    "GET /p/{project}/submissions/{command_id}": "tasks:read",
    "GET /p/{project}/agents": "agents:read",
    "GET /p/{project}/audit": "audit:read",
    "POST /p/{project}/audit/checks": "audit:read",
    "GET /p/{project}/connect": "agents:connect",
    "POST /p/{project}/keys": "agents:connect",
}
"""Who may use what. A new route must be added here, by somebody who thought about it."""

IN_PROJECTS = {route: need for route, need in DECLARED.items() if "{project}" in route}
API = {route: need for route, need in IN_PROJECTS.items() if "/api/" in route}


def routes_of(app):
    return {
        f"{method} {route.path_format}": declaration_of(handler)
        for route in app.routes
        for handler in route_handlers(route)
        for method in getattr(handler, "http_methods", {"GET"})
    }


async def ask(client, route, slug, **options):
    """The status of the route in the project, for objects that do not exist."""
    method, _, path = route.partition(" ")
    path = re.sub(r"\{(\w+)\}", lambda m: slug if m[1] == "project" else "none", path)
    return await client.request(method, path, **options)


async def statuses(client, routes, slug, **options):
    return {route: (await ask(client, route, slug, **options)).status_code for route in routes}


def test_every_route_declares_what_the_table_says(settings):
    declared = {route: guard.label for route, guard in routes_of(create_app(settings)).items()}
    assert declared == DECLARED


def test_routes_with_a_permission_name_their_project(settings):
    guards = routes_of(create_app(settings))
    without = [r for r, g in guards.items() if isinstance(g, Requires) and "{project}" not in r]
    assert without == []


def test_route_that_declares_nothing_stops_the_start():
    @get("/open-by-mistake")
    async def mistake() -> None: ...

    @get("/meant", guards=[public()])
    async def meant() -> None: ...

    app = Litestar([mistake, meant], openapi_config=None)
    with pytest.raises(UndeclaredRoute, match=r"/open-by-mistake \(.*mistake\)"):
        check_routes_declare(app)


async def test_nobody_gets_into_projects(serving, project):
    async with serving.http() as client:
        seen = await statuses(client, IN_PROJECTS, project.slug)
    assert seen == {route: 401 if route in API else 303 for route in IN_PROJECTS}


@pytest.mark.parametrize("role", list(Role))
async def test_members_get_what_their_role_allows(serving, project, role):
    person = await serving.person(project, role)
    headers = {"x-csrf-token": person.csrf}
    async with serving.http(cookies=person.cookies, headers=headers) as client:
        seen = await statuses(client, IN_PROJECTS, project.slug)
    refused = {route for route, status in seen.items() if status == 403}
    assert refused == {r for r, need in IN_PROJECTS.items() if not allows(role, Permission(need))}
    assert 401 not in seen.values()
    assert not any(status >= 500 for status in seen.values()), seen


@pytest.mark.parametrize("role", list(Role))
async def test_tokens_get_what_their_role_allows(serving, project, role):
    token = await serving.token(project, role)
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as client:
        seen = await statuses(client, API, project.slug)
    refused = {route for route, status in seen.items() if status == 403}
    assert refused == {r for r, need in API.items() if not allows(role, Permission(need))}
    assert 401 not in seen.values()


async def test_tokens_open_no_pages(serving, project):
    token = await serving.token(project, Role.OWNER)
    pages = set(IN_PROJECTS) - set(API)
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as client:
        seen = await statuses(client, pages, project.slug)
    assert set(seen.values()) == {303}


async def test_other_projects_answer_as_if_they_did_not_exist(serving, project):
    other = await serving.project("Other")
    owner = await serving.person(other, Role.OWNER)
    headers = {"x-csrf-token": owner.csrf}
    async with serving.http(cookies=owner.cookies, headers=headers) as client:
        foreign = await statuses(client, IN_PROJECTS, project.slug)
        first = await ask(client, "GET /api/v1/projects/{project}/tasks", project.slug)
        missing = await ask(client, "GET /api/v1/projects/{project}/tasks", "nope")
    assert set(foreign.values()) == {404}
    assert first.text.replace(project.slug, "nope") == missing.text


async def test_tokens_of_other_projects_answer_the_same(serving, project):
    other = await serving.project("Other")
    token = await serving.token(other, Role.OWNER)
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as client:
        assert set((await statuses(client, API, project.slug)).values()) == {404}


@pytest.mark.parametrize("by_token", [True, False])
async def test_act_without_the_right_is_in_the_audit_log(serving, project, by_token):
    path = f"/projects/{project.slug}/tasks/celery/a%2Fb/retries"
    if by_token:
        headers = {"Authorization": f"Bearer {await serving.token(project, Role.VIEWER)}"}
        options = {"headers": headers}
    else:
        person = await serving.person(project, Role.VIEWER)
        options = {"headers": {"x-csrf-token": person.csrf}, "cookies": person.cookies}
    async with serving.http(**options) as client:
        assert (await client.post("/api/v1" + path)).status_code == 403
        # Looking is no act: it leaves no entry.
        assert (await client.get(f"/api/v1/projects/{project.slug}/audit")).status_code == 403
    page = await list_entries(serving.services.control, project.slug)
    refused = [line for line in page.entries if line.outcome == "refused"]
    assert [(line.action, line.target, line.actor.kind) for line in refused] == [
        ("task.retry", "task:celery:a/b", "token" if by_token else "user")
    ]
    assert "viewer" in refused[0].payload["reason"]
