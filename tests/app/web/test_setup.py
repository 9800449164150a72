# SPDX-License-Identifier: AGPL-3.0-only
"""The one-time link: the first account, or a sign-in."""

import pytest
from tests.support.control import PASSWORD

from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.accounts.links import create_setup_link
from queuedeck.domain.accounts.queries import has_users
from queuedeck.domain.accounts.service import create_user

FORM = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}


@pytest.fixture
async def link(serving):
    s = serving.services
    return f"/setup/{await create_setup_link(s.control, s.keyring, SYSTEM)}"


async def test_first_account_owns_the_server_and_sees_how_to_connect(serving, link):
    async with serving.http(follow_redirects=True) as client:
        answer = await client.post(link, data=FORM)
    assert str(answer.url).endswith("/p/default/connect")
    assert "Connect your first worker" in answer.text


async def test_opening_the_link_changes_nothing(serving, link):
    async with serving.http() as client:
        assert "Set up Queuedeck" in (await client.get(link)).text
        assert "Set up Queuedeck" in (await client.get(link)).text
    assert not await has_users(serving.services.control)


async def test_each_mistake_stands_at_its_field_and_what_was_typed_stays(serving, link):
    async with serving.http() as client:
        answer = await client.post(link, data=FORM | {"email": "ann", "password": "short"})
    assert answer.status_code == 422
    assert "That is not an e-mail address" in answer.text
    assert "at least 12 characters" in answer.text
    assert 'value="Ann"' in answer.text
    assert "short" not in answer.text


async def test_link_works_once(serving, link):
    async with serving.http() as client:
        await client.post(link, data=FORM)
        answer = await client.get(link)
    assert answer.status_code == 404
    assert "This link has been used" in answer.text


async def test_sign_in_link_asks_before_it_is_used_up(serving, project):
    s = serving.services
    user = await create_user(
        s.control, s.keyring, s.passwords, "ann@example.com", "", PASSWORD, SYSTEM,
        projects=(project.seen,),
    )  # fmt: skip
    link = f"/setup/{await create_setup_link(s.control, s.keyring, SYSTEM, user)}"
    async with serving.http(follow_redirects=True) as client:
        assert "signs you in as <b>ann@example.com</b>" in (await client.get(link)).text
        answer = await client.post(link)
    assert "Connect" in answer.text
