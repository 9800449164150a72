# SPDX-License-Identifier: AGPL-3.0-only
"""One-time links: the first user, and signing in; once, and for 30 minutes."""

import asyncio

import pytest
from tests.support.control import (
    KEYRING,
    PASSWORD,
    SHELL,
    all_that_is_stored,
    audited,
    run_sql,
)

from queuedeck.domain.accounts.links import (
    create_setup_link,
    find_setup_link,
    first_setup_link,
    redeem_setup_link,
    redeem_sign_in_link,
)
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.service import create_user
from queuedeck.domain.projects.queries import projects_of_user
from queuedeck.errors import Invalid, NotFound

HALF_AN_HOUR_S = 1_800


@pytest.fixture
def redeem(db, passwords, clock):
    async def use(token, email="ann@example.com", password=PASSWORD):
        return await redeem_setup_link(
            db, KEYRING, passwords, token, email, "Ann", password, clock=clock
        )

    return use


@pytest.fixture
async def token(db, clock):
    return await first_setup_link(db, KEYRING, clock)


async def test_link_makes_the_first_user_owner_of_a_first_project(db, token, redeem):
    ann = await redeem(token)
    (found,) = await projects_of_user(db, ann.id)
    assert (found.project.name, found.role) == ("Default", Role.OWNER)


async def test_link_makes_the_first_user_owner_of_the_projects_there_are(
    db, project, other_project, token, redeem
):
    ann = await redeem(token)
    found = await projects_of_user(db, ann.id)
    assert [f.project.slug for f in found] == ["bank", "shop"]


async def test_use_of_the_link_is_audited(db, token, redeem):
    await redeem(token)
    assert await audited(db) == [("setup-link.create", "done"), ("user.create", "done")]


async def test_looking_at_a_link_does_not_use_it(db, token, redeem, clock):
    assert (await find_setup_link(db, token, clock)).user is None
    assert (await find_setup_link(db, token, clock)).user is None
    assert (await redeem(token)).email == "ann@example.com"


async def test_link_works_once(token, redeem):
    await redeem(token)
    with pytest.raises(NotFound, match="has been used"):
        await redeem(token, "eve@example.com")


async def test_of_many_uses_at_the_same_time_one_succeeds(db, token, redeem):
    uses = [redeem(token, f"user{number}@example.com") for number in range(20)]
    done = await asyncio.gather(*uses, return_exceptions=True)
    assert sum(not isinstance(one, NotFound) for one in done) == 1
    assert run_sql(db.database, "SELECT count(*) FROM users") == [(1,)]


async def test_link_is_good_for_half_an_hour(token, redeem, clock):
    clock.advance(HALF_AN_HOUR_S)
    with pytest.raises(NotFound, match="30 minutes"):
        await redeem(token)


async def test_new_link_ends_the_one_before(db, token, redeem, clock):
    fresh = await first_setup_link(db, KEYRING, clock)
    with pytest.raises(NotFound):
        await redeem(token)
    assert await redeem(fresh)


async def test_bad_input_does_not_use_the_link_up(token, redeem):
    with pytest.raises(Invalid):
        await redeem(token, password="short")
    with pytest.raises(Invalid):
        await redeem(token, email="nobody")
    assert await redeem(token)


async def test_there_is_no_link_once_there_is_a_user(db, token, passwords, redeem, clock):
    await create_user(db, KEYRING, passwords, "bob@example.com", "", PASSWORD, SHELL)
    assert await first_setup_link(db, KEYRING, clock) == ""
    with pytest.raises(NotFound):
        await redeem(token)


async def test_sign_in_link_names_its_user_once(db, token, redeem, clock):
    ann = await redeem(token)
    link = await create_setup_link(db, KEYRING, SHELL, ann, clock=clock)
    assert (await find_setup_link(db, link, clock)).user == ann
    assert await redeem_sign_in_link(db, link, clock) == ann
    with pytest.raises(NotFound):
        await redeem_sign_in_link(db, link, clock)


async def test_links_of_one_kind_do_not_do_the_other(db, token, redeem, clock):
    with pytest.raises(NotFound):
        await redeem_sign_in_link(db, token, clock)
    ann = await redeem(token)
    link = await create_setup_link(db, KEYRING, SHELL, ann, clock=clock)
    with pytest.raises(NotFound):
        await redeem(link, "eve@example.com")


async def test_token_is_stored_as_a_hash_only(db, token):
    assert token.encode() not in all_that_is_stored(db.database)
