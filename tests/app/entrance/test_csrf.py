# SPDX-License-Identifier: AGPL-3.0-only
"""Other sites cannot act through a signed-in browser, whatever they send."""

import pytest

from queuedeck.domain.projects.queries import list_agent_keys

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def owner(serving, project):
    return await serving.person(project)


async def make_key(serving, project, owner, headers, content=b""):
    """Ask for an agent key as the owner's browser; the status, and how many keys there are now."""
    async with serving.http(cookies=owner.cookies) as client:
        path = f"/p/{project.slug}/keys"
        answer = await client.post(path, headers=headers, content=content)
    return answer.status_code, len(await list_agent_keys(serving.services.control, project.id))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-csrf-token": "0" * 64},
        {"x-csrf-token": "ü".encode()},
        {"hx-request": "true"},
        {"content-type": "text/plain"},
        {"x-http-method-override": "GET"},
    ],
    ids=["none", "wrong", "not ascii", "htmx", "plain text", "override"],
)
async def test_write_without_the_token_is_refused(serving, project, owner, headers):
    assert await make_key(serving, project, owner, headers) == (403, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
async def test_write_from_another_site_is_refused_even_with_the_token(
    serving, project, owner, headers
):
    headers = {"x-csrf-token": owner.csrf, **headers}
    assert await make_key(serving, project, owner, headers) == (403, 1)


async def test_token_of_another_session_is_refused(serving, project, owner):
    other = await serving.person(await serving.project("Other"))
    headers = {"x-csrf-token": other.csrf}
    assert await make_key(serving, project, owner, headers) == (403, 1)


async def test_write_with_token_in_the_header_is_done(serving, project, owner):
    headers = {"x-csrf-token": owner.csrf, "origin": serving.url, "sec-fetch-site": "same-origin"}
    status, keys = await make_key(serving, project, owner, headers)
    assert (status < 400, keys) == (True, 2)


async def test_write_with_token_in_the_form_is_done(serving, project, owner):
    content = f"csrf_token={owner.csrf}".encode()
    status, keys = await make_key(serving, project, owner, FORM, content)
    assert (status < 400, keys) == (True, 2)


async def test_read_needs_no_token(serving, project, owner):
    async with serving.http(cookies=owner.cookies) as client:
        assert (await client.get(f"/p/{project.slug}/tasks")).status_code == 200


async def test_api_takes_a_cookie_only_with_the_token(serving, project, owner):
    path = f"/api/v1/projects/{project.slug}/tasks"
    async with serving.http(cookies=owner.cookies) as client:
        assert (await client.get(path)).status_code == 403
        answer = await client.get(path, headers={"x-csrf-token": owner.csrf})
    assert answer.status_code == 200


async def test_cookie_and_token_together_are_refused(serving, project, owner):
    headers = {
        "Authorization": f"Bearer {await serving.token(project)}",
        "x-csrf-token": owner.csrf,
    }
    async with serving.http(cookies=owner.cookies, headers=headers) as client:
        answer = await client.get(f"/api/v1/projects/{project.slug}/tasks")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "two_credentials")


async def test_login_from_another_site_is_refused(serving):
    async with serving.http() as client:
        headers = {"origin": "https://evil.example"}
        answer = await client.post(
            "/login", data={"email": "a@b", "password": "x"}, headers=headers
        )
    assert answer.status_code == 403
