# SPDX-License-Identifier: AGPL-3.0-only
"""The administration commands: what they make, print, record and refuse."""

import asyncio
import json
import stat

import pytest
from tests.support.control import KEYRING, PASSWORD, audited, run_sql

from queuedeck.db.engine import ControlDb
from queuedeck.db.migrate import HEAD
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.accounts.service import authenticate
from queuedeck.domain.projects.dsn import parse_dsn
from queuedeck.domain.projects.queries import projects_of_user


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request):
    return request.param


def with_db(database, ask):
    """Ask the database something, by an async function."""

    async def open_and_ask():
        db = ControlDb(database)
        await db.open()
        try:
            return await ask(db)
        finally:
            await db.close()

    return asyncio.run(open_and_ask())


def log_of(database, project=""):
    return with_db(database, lambda db: audited(db, project))


def signs_in(database, email, password):
    async def ask(db):
        return (await authenticate(db, KEYRING, Passwords(), email, password)).email

    return with_db(database, ask) == email


def slugs_of(database, user_id):
    found = with_db(database, lambda db: projects_of_user(db, user_id))
    return sorted(one.project.slug for one in found)


def test_first_user_owns_a_first_project(run, database):
    made = run("createuser", "Ann@example.com", "--name", "Ann", "--json")
    assert made.json["user"] == {"id": 1, "email": "ann@example.com", "name": "Ann"}
    assert (made.json["project"], made.json["role"]) == ("default", "owner")
    assert signs_in(database, "ann@example.com", made.json["password"])


def test_password_comes_from_standard_input_and_is_not_printed(run, database):
    made = run("createuser", "ann@example.com", "--password-stdin", stdin=PASSWORD + "\n")
    assert made.code == 0
    assert PASSWORD not in made.out + made.err
    assert signs_in(database, "ann@example.com", PASSWORD)


def test_user_is_recorded_as_made_by_the_shell(run, database):
    run("createuser", "ann@example.com")
    assert log_of(database) == [("user.create", "done")]
    assert log_of(database, "default") == [("project.create", "done"), ("member.add", "done")]
    bodies = run_sql(database, "SELECT body FROM audit_entries")
    assert {json.loads(body)["actor"]["kind"] for (body,) in bodies} == {"cli"}


def test_user_needs_a_project_when_there_are_several(run, shop):
    run("projects", "create", "Bank")
    refused = run("createuser", "ann@example.com")
    assert refused.code == 1
    assert "several projects (shop, bank)" in refused.err
    assert run("createuser", "ann@example.com", "--project", "bank", "--json").json["project"] == (
        "bank"
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        pytest.param(["nobody"], "", "not an e-mail address", id="bad address"),
        pytest.param(["a@x.de", "--password-stdin"], "", "holds no password", id="no password"),
        pytest.param(["a@x.de", "--password-stdin"], "x\n", "at least 12", id="short password"),
        pytest.param(["a@x.de", "--project", "nope"], "", "no project 'nope'", id="no project"),
        pytest.param(["old@x.de"], "", "a user old@x.de already", id="taken"),
    ],
)
def test_user_is_refused_with_one_line(run, shop, arguments, stdin, reason):
    run("createuser", "old@x.de")
    refused = run("createuser", *arguments, stdin=stdin)
    assert (refused.code, refused.out) == (1, "")
    assert reason in refused.err
    assert len(refused.err.splitlines()) == 1


def test_project_is_made_once(run, data, shop):
    assert shop == {"id": 1, "slug": "shop", "name": "Shop"}
    again = run("projects", "create", "Shop")
    assert (again.code, again.err) == (
        1,
        "queuedeck: There is a project 'Shop' already; its slug is shop.",
    )
    assert run("projects", "list", "--json").json["projects"] == [shop]


def test_project_belongs_to_the_first_account_or_to_whom_is_named(run, database):
    assert run("projects", "create", "Early", "--json").json["owner"] is None
    run("createuser", "ann@example.com")
    run("createuser", "ben@example.com", "--project", "early", "--role", "viewer")
    assert run("projects", "create", "Shop", "--json").json["owner"] == "ann@example.com"
    named = run("projects", "create", "Bank", "--owner", "Ben@example.com", "--json")
    assert named.json["owner"] == "ben@example.com"
    assert log_of(database, "bank") == [("project.create", "done"), ("member.add", "done")]
    assert slugs_of(database, 1) == ["early", "shop"]
    assert slugs_of(database, 2) == ["bank", "early"]


def test_project_of_an_unknown_owner_is_not_made(run, shop):
    refused = run("projects", "create", "Bank", "--owner", "nobody@example.com")
    assert refused.code == 1
    assert "queuedeck createuser nobody@example.com" in refused.err
    assert run("projects", "list", "--json").json["projects"] == [shop]


def test_dsn_is_all_that_is_printed(run, database, shop):
    made = run("keys", "create", "shop")
    dsn = parse_dsn(made.out)
    assert (dsn.project, made.err) == ("shop", "")
    assert made.out.startswith("http://qd_agt_")
    assert ("agent-key.create", "done") in log_of(database, "shop")


def test_dsn_names_the_public_url(run, shop, monkeypatch):
    monkeypatch.setenv("QUEUEDECK_PUBLIC_URL", "https://deck.example.com")
    assert "@deck.example.com/shop?" in run("keys", "create", "shop").out


def test_dsn_names_the_address_of_the_running_server(run, data, shop):
    (data / "server.json").write_text('{"url": "http://127.0.0.1:4711", "pid": 1}\n')
    assert "@127.0.0.1:4711/shop?" in run("keys", "create", "shop").out


def test_second_dsn_says_what_it_cannot_open(run, shop):
    first = run("keys", "create", "shop", "--json").json
    second = run("keys", "create", "shop")
    assert first["seal_id"] in second.err
    assert "--from" in second.err


@pytest.mark.parametrize("by_stdin", [False, True])
def test_dsn_from_another_opens_the_same_calls(run, shop, by_stdin):
    first = run("keys", "create", "shop", "--json").json
    source = ["-"] if by_stdin else [first["dsn"]]
    second = run("keys", "create", "shop", "--json", "--from", *source, stdin=first["dsn"] + "\n")
    assert (second.json["seal_id"], second.json["opens_old"]) == (first["seal_id"], True)
    assert second.err == ""


def test_key_is_listed_and_revoked(run, database, shop):
    made = run("keys", "create", "shop", "--json").json
    assert made["prefix"] in run("keys", "list", "shop").out
    assert run("keys", "revoke", "shop", str(made["key_id"])).code == 0
    assert run("keys", "list", "shop", "--json").json["keys"][0]["revoked_us"] is not None
    assert ("agent-key.revoke", "done") in log_of(database, "shop")


def test_key_of_another_project_is_not_revoked(run, shop):
    made = run("keys", "create", "shop", "--json").json
    run("projects", "create", "Bank")
    refused = run("keys", "revoke", "bank", str(made["key_id"]))
    assert (refused.code, "no such agent key" in refused.err) == (1, True)


def test_token_is_printed_listed_and_revoked(run, database, shop):
    made = run("tokens", "create", "shop", "--role", "viewer", "--days", "7", "--json").json
    assert made["token"].startswith("qd_pat_")
    (listed,) = run("tokens", "list", "shop", "--json").json["tokens"]
    assert (listed["role"], listed["prefix"]) == ("viewer", made["prefix"])
    assert listed["expires_us"] - listed["created_us"] == pytest.approx(7 * 86_400e6, abs=60e6)
    assert run("tokens", "revoke", "shop", str(made["token_id"])).code == 0
    assert ("api-token.revoke", "done") in log_of(database, "shop")


def test_files_are_private(run, kind, data, shop):
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data.iterdir()}
    files = ["secret.key"] if kind == "postgres" else ["control.db", "secret.key"]
    assert modes == dict.fromkeys(files, 0o600)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_migrate_twice_is_no_error(run):
    assert run("migrate", "--json").json["revision"] == HEAD
    assert run("migrate").code == 0


def test_commands_with_other_keys_than_the_database_write_nothing(run, database, shop, monkeypatch):
    """Else the audit log would have entries that nobody can verify."""
    monkeypatch.setenv("QUEUEDECK_SECRET", "0f" * 32)
    refused = run("projects", "create", "Bank")
    assert (refused.code, "not those of the database" in refused.err) == (1, True)
    assert [action for action, _ in log_of(database, "shop")] == ["project.create"]
