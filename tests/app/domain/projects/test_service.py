# SPDX-License-Identifier: AGPL-3.0-only
"""Projects, agent keys and API tokens: made, found by their secret, revoked, on record."""

import pytest
from tests.support.control import KEYRING, SHELL, all_that_is_stored, audited, run_sql

from queuedeck.clock import MINUTE_US
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.projects.dsn import parse_dsn
from queuedeck.domain.projects.queries import (
    find_agent_key,
    find_api_token,
    find_project,
    list_agent_keys,
    list_api_tokens,
    list_projects,
)
from queuedeck.domain.projects.service import (
    create_agent_key,
    create_api_token,
    create_project,
    revoke_agent_key,
    revoke_api_token,
    slug_of,
)
from queuedeck.errors import Conflict, Invalid, NotFound
from queuedeck.ids import AGENT_KEY_PREFIX, API_TOKEN_PREFIX, is_well_formed_key


@pytest.fixture
def make_key(db, settings, project, clock):
    async def make(from_dsn="", of=project):
        return await create_agent_key(db, KEYRING, settings, of, SHELL, from_dsn, clock=clock)

    return make


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Shop", "shop"),
        ("  Söme   Shop! ", "some-shop"),
        ("店", "project"),
        ("a/b?c#d", "a-b-c-d"),
        ("x" * 60, "x" * 40),
        ("-", "project"),
    ],
)
def test_slug_can_stand_in_a_url(name, slug):
    assert slug_of(name) == slug


async def test_project_is_made_and_audited(db, project):
    assert await find_project(db, "shop") == project
    assert await audited(db, "shop") == [("project.create", "done")]


async def test_project_of_the_same_name_is_refused(db, project):
    with pytest.raises(Conflict, match="its slug is shop"):
        await create_project(db, KEYRING, "SHOP", SHELL)


async def test_project_of_another_name_gets_another_slug(db, project):
    made = [await create_project(db, KEYRING, name, SHELL) for name in ("Shop!", "Shop?")]
    assert [p.slug for p in made] == ["shop-2", "shop-3"]
    assert len(await list_projects(db)) == 3


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b"])
async def test_project_without_a_usable_name_is_refused(db, name):
    with pytest.raises(Invalid, match="needs a name"):
        await create_project(db, KEYRING, name, SHELL)


async def test_missing_project_is_not_found(db):
    with pytest.raises(NotFound, match="no project 'nope'"):
        await find_project(db, "nope")


async def test_dsn_carries_a_key_that_is_found(db, project, make_key, clock):
    made = await make_key()
    dsn = parse_dsn(made.dsn)
    assert made.dsn.startswith("https://qd_agt_")
    assert is_well_formed_key(dsn.agent_key, AGENT_KEY_PREFIX)
    found = await find_agent_key(db, dsn.agent_key, clock)
    assert (found.project_id, found.slug, found.key_id) == (project.id, "shop", made.key_id)


async def test_key_is_audited_without_the_secret(db, make_key):
    made = await make_key()
    assert ("agent-key.create", "done") in await audited(db, "shop")
    dsn = parse_dsn(made.dsn)
    raw = all_that_is_stored(db.database)
    assert dsn.agent_key.encode() not in raw
    assert dsn.seal.key not in raw


async def test_first_dsn_opens_all_there_is(make_key):
    assert (await make_key()).opens_old is True


async def test_second_dsn_starts_a_new_sealing_key_and_says_so(make_key):
    first, second = await make_key(), await make_key()
    assert second.opens_old is False
    assert second.other_seal_ids == (first.seal_id,)


async def test_dsn_made_from_another_holds_the_same_sealing_key(make_key):
    first = await make_key()
    second = await make_key(first.dsn)
    assert second.opens_old is True
    assert parse_dsn(second.dsn).seal == parse_dsn(first.dsn).seal
    assert parse_dsn(second.dsn).agent_key != parse_dsn(first.dsn).agent_key


async def test_dsn_is_not_made_from_that_of_another_project(make_key, other_project):
    first = await make_key()
    with pytest.raises(Invalid, match="belongs to project 'shop'"):
        await make_key(first.dsn, other_project)


async def test_revoked_key_is_not_found(db, project, make_key, clock):
    made = await make_key()
    await revoke_agent_key(db, KEYRING, project, made.key_id, SHELL, clock=clock)
    assert await find_agent_key(db, parse_dsn(made.dsn).agent_key, clock) is None
    assert (await list_agent_keys(db, project.id))[0].revoked_us == clock()
    assert ("agent-key.revoke", "done") in await audited(db, "shop")


async def test_key_of_another_project_cannot_be_revoked(db, other_project, make_key):
    made = await make_key()
    with pytest.raises(NotFound):
        await revoke_agent_key(db, KEYRING, other_project, made.key_id, SHELL)
    assert await audited(db, "bank") == [("project.create", "done")]


async def test_key_is_revoked_once(db, project, make_key):
    made = await make_key()
    await revoke_agent_key(db, KEYRING, project, made.key_id, SHELL)
    with pytest.raises(Conflict, match="already"):
        await revoke_agent_key(db, KEYRING, project, made.key_id, SHELL)


async def test_unknown_and_malformed_keys_are_not_found(db, make_key, clock):
    known = parse_dsn((await make_key()).dsn).agent_key
    for key in ("", "qd_agt_", known[:-1], known + "x", known.replace("qd_agt_", "qd_pat_")):
        assert await find_agent_key(db, key, clock) is None


async def test_last_use_is_written_at_most_once_a_minute(db, project, make_key, clock):
    key = parse_dsn((await make_key()).dsn).agent_key
    first = clock()
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        await find_agent_key(db, key, clock)
    assert (await list_agent_keys(db, project.id))[0].last_used_us == first + MINUTE_US


async def test_token_is_found_with_its_role(db, project, clock):
    made = await create_api_token(db, KEYRING, project, Role.VIEWER, SHELL, clock=clock)
    assert is_well_formed_key(made.token, API_TOKEN_PREFIX)
    found = await find_api_token(db, made.token, clock)
    assert (found.slug, found.role, found.token_id) == ("shop", Role.VIEWER, made.token_id)
    assert ("api-token.create", "done") in await audited(db, "shop")


async def test_token_is_stored_as_a_hash_only(db, project):
    made = await create_api_token(db, KEYRING, project, Role.VIEWER, SHELL)
    raw = all_that_is_stored(db.database)
    assert made.token.encode() not in raw
    assert run_sql(db.database, "SELECT length(token_hash) FROM api_tokens") == [(32,)]


async def test_expired_token_is_not_found(db, project, clock):
    made = await create_api_token(
        db, KEYRING, project, Role.VIEWER, SHELL, expires_us=clock() + MINUTE_US, clock=clock
    )
    assert await find_api_token(db, made.token, clock) is not None
    clock.advance(60)
    assert await find_api_token(db, made.token, clock) is None


async def test_revoked_token_is_not_found(db, project, clock):
    made = await create_api_token(db, KEYRING, project, Role.VIEWER, SHELL, clock=clock)
    await revoke_api_token(db, KEYRING, project, made.token_id, SHELL, clock=clock)
    assert await find_api_token(db, made.token, clock) is None
    assert ("api-token.revoke", "done") in await audited(db, "shop")


async def test_token_of_another_project_cannot_be_revoked_or_seen(db, project, other_project):
    made = await create_api_token(db, KEYRING, project, Role.VIEWER, SHELL)
    with pytest.raises(NotFound):
        await revoke_api_token(db, KEYRING, other_project, made.token_id, SHELL)
    assert await list_api_tokens(db, other_project.id) == []
