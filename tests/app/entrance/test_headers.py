# SPDX-License-Identifier: AGPL-3.0-only
"""What every answer carries, errors and unknown paths included; and how errors look."""

import httpx
import msgspec
import pytest
from tests.support.serving import serve

ANSWERS = {
    "/login": 200,
    "/": 303,
    "/nowhere": 404,
    "/setup/none": 404,
    "/p/shop/tasks": 303,
    "/healthz": 200,
    "/api/v1/projects/shop/tasks": 401,
    "/api/v1": 404,
    "/api/v1/openapi.json": 200,
    "/static/none/none.css": 404,
    "/%2F%00%ff": 404,
}


@pytest.mark.parametrize("path", ANSWERS)
async def test_every_answer_has_the_security_headers(serving, path):
    async with serving.http() as client:
        answer = await client.get(path)
    assert answer.status_code == ANSWERS[path]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in answer.headers


async def test_https_adds_strict_transport_and_a_host_cookie(settings):
    settings = msgspec.structs.replace(settings, public_url="https://queuedeck.example")
    async with serve(settings) as serving:
        project = await serving.project()
        person = await serving.person(project)
        (name,) = person.cookies
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{serving.settings.port}"
        ) as client:
            answer = await client.get("/login")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert name.startswith("__Host-")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_method_that_is_not_there_is_refused_as_json(serving, method):
    async with serving.http() as client:
        answer = await client.request(method, "/api/v1/projects/shop/tasks")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_body_beyond_the_limit_is_refused(serving):
    async with serving.http() as client:
        answer = await client.post("/login", data={"email": "x" * 2_000_000})
    assert answer.status_code == 413


async def test_broken_request_says_so_and_no_more(serving, project, monkeypatch):
    token = await serving.token(project)

    async def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(serving.services.history, "list_tasks", broken)
    async with serving.http(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.get(f"/api/v1/projects/{project.slug}/tasks")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


async def test_page_that_needs_somebody_leads_to_login_and_back(serving, project):
    async with serving.http() as client:
        plain = await client.get(f"/p/{project.slug}/tasks")
        htmx = await client.get(f"/p/{project.slug}/tasks", headers={"hx-request": "true"})
    assert plain.headers["location"] == f"/login?next=/p/{project.slug}/tasks"
    assert (htmx.status_code, htmx.headers["hx-redirect"]) == (401, "/login")


async def test_refused_link_has_the_security_headers(serving):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Queuedeck-Protocol": "1",
        "Authorization": "Bearer qd_agt_unknown",
    }
    async with serving.http(headers=upgrade) as client:
        answer = await client.get("/agent/link")
    assert answer.status_code == 401
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
