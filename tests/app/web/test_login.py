# SPDX-License-Identifier: AGPL-3.0-only
"""Signing in and out, and where people go then."""

import pytest
from tests.support.control import PASSWORD
from tests.support.pages import press, visitor

from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.accounts.service import create_user
from queuedeck.web.login import local_path


@pytest.fixture
async def ann(serving, project):
    """A user with a password; signed out."""
    s = serving.services
    return await create_user(
        s.control, s.keyring, s.passwords, "ann@example.com", "Ann", PASSWORD, SYSTEM,
        projects=(project.seen,),
    )  # fmt: skip


async def log_in(client, password=PASSWORD, **fields):
    form = {"email": "ann@example.com", "password": password, "next": "/", **fields}
    return await client.post("/login", data=form)


async def test_right_password_opens_the_dashboard(serving, project, ann):
    async with serving.http(follow_redirects=True) as client:
        answer = await log_in(client)
    assert answer.status_code == 200
    assert str(answer.url).endswith(f"/p/{project.slug}/connect")


async def test_signing_in_leads_to_the_page_and_filter_that_was_asked_for(serving, project, ann):
    asked = f"/p/{project.slug}/tasks?q=state%3Afailed+queue%3A%22a%26b%22&limit=10"
    async with serving.http() as client:
        sent = await client.get(asked)
        assert sent.status_code == 303
        answer = await log_in(client, next=sent.next_request.url.params["next"])
    assert answer.headers["location"] == asked


async def test_wrong_password_keeps_the_address_and_says_no_more(serving, ann):
    async with serving.http() as client:
        answer = await log_in(client, "wrong horse battery")
        unknown = await log_in(client, email="nobody@example.com")
    assert answer.status_code == unknown.status_code == 422
    assert "The e-mail address or the password is not right." in answer.text
    assert 'value="ann@example.com"' in answer.text
    assert "wrong horse battery" not in answer.text


async def test_login_goes_back_to_the_page_that_was_asked(serving, project, ann):
    async with serving.http() as client:
        answer = await log_in(client, next=f"/p/{project.slug}/audit")
    assert answer.headers["location"] == f"/p/{project.slug}/audit"


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "\\evil", "", "/a\nb"]
)
def test_login_never_sends_people_elsewhere(path):
    assert local_path(path) == "/"


async def test_signed_in_user_does_not_see_the_form(serving, project):
    async with visitor(serving, project) as client:
        assert (await client.get("/login")).status_code == 303


async def test_logout_ends_the_session(serving, project):
    async with visitor(serving, project) as client:
        assert (await press(client, "/logout")).headers["location"] == "/login"
        client.cookies.update(client.person.cookies)
        assert (await client.get(f"/p/{project.slug}/tasks")).status_code == 303


async def test_login_from_another_site_is_refused(serving, ann):
    async with serving.http(headers={"Origin": "https://evil.example"}) as client:
        assert (await log_in(client)).status_code == 403


async def test_user_without_a_project_is_told(serving, project):
    s = serving.services
    await create_user(s.control, s.keyring, s.passwords, "ann@example.com", "", PASSWORD, SYSTEM)
    async with serving.http(follow_redirects=True) as client:
        answer = await log_in(client)
    assert answer.status_code == 403
    assert "not a member of any project" in answer.text
