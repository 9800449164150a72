# SPDX-License-Identifier: AGPL-3.0-only
"""Users and passwords: made, checked, refused; slowed down but never locked out."""

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

from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.service import authenticate, create_user
from queuedeck.domain.accounts.sessions import start_session
from queuedeck.domain.projects.queries import projects_of_user
from queuedeck.errors import Conflict, Invalid, TooMany, Unauthorized

EMAIL = "ann@example.com"


@pytest.fixture
def sign_in(db, passwords, clock):
    async def attempt(email=EMAIL, password=PASSWORD, ip="10.0.0.1"):
        return await authenticate(db, KEYRING, passwords, email, password, ip=ip, clock=clock)

    return attempt


@pytest.fixture
async def ann(db, passwords, clock, project):
    return await create_user(
        db, KEYRING, passwords, EMAIL, "Ann", PASSWORD, SHELL, projects=(project,), clock=clock
    )


async def test_user_has_the_role_in_the_named_projects_only(db, ann, project, other_project):
    (found,) = await projects_of_user(db, ann.id)
    assert (found.project, found.role) == (project, Role.OWNER)


async def test_user_is_audited(db, ann):
    assert ("user.create", "done") in await audited(db)
    assert ("member.add", "done") in await audited(db, "shop")


async def test_password_is_stored_as_argon2id_only(db, ann):
    assert run_sql(db.database, "SELECT password_hash FROM users")[0][0].startswith("$argon2id$")


async def test_address_is_taken_whatever_its_case(db, ann, passwords):
    with pytest.raises(Conflict, match=r"ann@example\.com already"):
        await create_user(db, KEYRING, passwords, "ANN@example.com", "", PASSWORD, SHELL)


@pytest.mark.parametrize("email", ["", "ann", "ann@", "@x", "a b@x.de", "a@x\0y", "a@" + "x" * 300])
async def test_address_that_cannot_be_one_is_refused(db, passwords, email):
    with pytest.raises(Invalid, match="e-mail address"):
        await create_user(db, KEYRING, passwords, email, "", PASSWORD, SHELL)


@pytest.mark.parametrize("password", ["", "short", "x" * 1001])
async def test_password_of_a_bad_length_is_refused(db, passwords, password):
    with pytest.raises(Invalid, match="password"):
        await create_user(db, KEYRING, passwords, EMAIL, "", password, SHELL)


async def test_right_password_signs_in(ann, sign_in):
    assert await sign_in(" ANN@example.com ") == ann


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"], ids=["known", "unknown"])
async def test_wrong_password_gets_the_same_answer_as_an_unknown_user(ann, sign_in, email):
    with pytest.raises(Unauthorized) as refused:
        await sign_in(email, "wrong password here")
    assert str(refused.value) == "The e-mail address or the password is not right."


async def test_refused_sign_in_is_audited_without_what_was_typed(db, ann, sign_in):
    with pytest.raises(Unauthorized):
        await sign_in("my secret password", "wrong")
    assert ("login", "refused") in await audited(db)
    assert b"my secret" not in all_that_is_stored(db.database)


async def test_unknown_user_costs_a_hash_too(ann, sign_in, passwords, monkeypatch):
    checked = []
    monkeypatch.setattr(
        passwords, "_matches", lambda known, given: checked.append((known is None, given))
    )
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(Unauthorized):
            await sign_in(email, "wrong password here")
    assert checked == [(False, "wrong password here"), (True, "wrong password here")]


async def test_guesses_from_one_address_are_slowed_down(ann, sign_in):
    answers = [await outcome(sign_in(f"user{n}@example.com", "guess")) for n in range(25)]
    assert answers == [Unauthorized] * 20 + [TooMany] * 5


async def test_guesses_on_one_account_are_slowed_down_whatever_their_address(ann, sign_in):
    answers = [await outcome(sign_in(EMAIL, "guess", f"10.1.0.{n}")) for n in range(12)]
    assert answers == [Unauthorized] * 10 + [TooMany] * 2


async def test_guesses_are_slowed_down_for_unknown_users_alike(ann, sign_in):
    answers = [await outcome(sign_in("x@example.com", "guess", f"10.1.0.{n}")) for n in range(12)]
    assert answers == [Unauthorized] * 10 + [TooMany] * 2


async def test_account_under_attack_opens_again_by_itself(ann, sign_in, clock):
    for number in range(12):
        await outcome(sign_in(EMAIL, "guess", f"10.1.0.{number}"))
    with pytest.raises(TooMany, match="Wait 60 s"):
        await sign_in(ip="10.2.0.1")
    clock.advance(60)
    assert await sign_in(ip="10.2.0.1") == ann


async def test_known_address_is_not_held_up_by_guesses_from_elsewhere(db, ann, sign_in, clock):
    await start_session(db, KEYRING, ann, ip="10.3.0.1", clock=clock)
    for number in range(12):
        await outcome(sign_in(EMAIL, "guess", f"10.1.0.{number}"))
    assert await outcome(sign_in(ip="10.2.0.1")) is TooMany
    assert await sign_in(ip="10.3.0.1") == ann


async def test_right_password_forgives_earlier_slips(ann, sign_in):
    for _ in range(9):
        await outcome(sign_in(password="wrong password", ip="10.1.0.1"))
    assert await sign_in(ip="10.1.0.2") == ann
    assert await outcome(sign_in(password="wrong password", ip="10.1.0.3")) is Unauthorized


async def test_ipv6_neighbours_count_as_one(ann, sign_in):
    for number in range(20):
        await outcome(sign_in(f"u{number}@example.com", "guess", f"2001:db8::{number:x}"))
    assert await outcome(sign_in(ip="2001:db8::ffff")) is TooMany
    assert await sign_in(ip="2001:db8:0:1::1") == ann


async def test_buckets_that_are_full_again_are_swept(db, ann, sign_in, clock):
    for number in range(5):
        await outcome(sign_in(f"user{number}@example.com", "guess", f"10.1.0.{number}"))
    clock.advance(3_600)
    await sign_in()
    assert run_sql(db.database, "SELECT count(*) FROM login_buckets") == [(1,)]


async def test_one_hash_runs_at_a_time(passwords, monkeypatch):
    running, most = 0, 0

    async def slowly(_hash, *_arguments):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return True

    monkeypatch.setattr("queuedeck.domain.accounts.passwords.asyncio.to_thread", slowly)
    await asyncio.gather(*(passwords.matches("x", PASSWORD) for _ in range(8)))
    assert most == 1


async def outcome(attempt):
    try:
        return await attempt
    except (Unauthorized, TooMany) as error:
        return type(error)
