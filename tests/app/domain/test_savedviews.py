# SPDX-License-Identifier: AGPL-3.0-only
"""Saved views: whose they are, who may, what is written down. On both databases."""

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from tests.support.control import KEYRING, SHELL

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.service import add_user
from queuedeck.domain.audit.queries import list_entries
from queuedeck.domain.projects.access import Access
from queuedeck.domain.savedviews import service
from queuedeck.domain.savedviews.service import remove_view, save_view, views_of
from queuedeck.domain.savedviews.system import SYSTEM_VIEWS
from queuedeck.domain.tasks.filters import parse, to_text
from queuedeck.domain.tasks.reader import FilterInvalid
from queuedeck.errors import Conflict, Forbidden, Invalid, NotFound


@pytest.fixture
async def people(db, clock):
    """Ann and Bob, as actors."""
    made = []
    for name in ("ann", "bob"):
        async with db.write() as session:
            user = await add_user(
                session, KEYRING, f"{name}@example.com", "", "none", SHELL, clock=clock
            )
        made.append(Actor("user", str(user.id), user.email, "session:1"))
    return made


@pytest.fixture
def save(db, clock, project):
    async def act(by, name="Mail", text="queue:mail", *, team=False, role=Role.OPERATOR):
        access = Access(project, role)
        return await save_view(db, KEYRING, clock, access, by, name=name, text=text, is_team=team)

    return act


async def names_of(db, project, actor):
    return [one.name for one in await views_of(db, project.id, actor)]


async def test_own_views_are_seen_by_their_owner_and_the_teams_by_all(db, project, people, save):
    ann, bob = people
    await save(ann, "Hers")
    await save(ann, "Ours", team=True)
    assert await names_of(db, project, ann) == ["Hers", "Ours"]
    assert await names_of(db, project, bob) == ["Ours"]
    assert await names_of(db, project, Actor("token", "1", "qd", "bearer")) == ["Ours"]


async def test_filter_is_kept_as_the_language_writes_it(save, people):
    made = await save(people[0], "  Two   words ", "queue:mail state:lost,failed")
    assert (made.name, made.question) == ("Two words", "state:lost,failed queue:mail")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("", "queue:mail", Invalid),
        ("x" * 61, "queue:mail", Invalid),
        ("Mail", "", Invalid),
        ("Mail", "quee:mail", FilterInvalid),
    ],
)
async def test_what_cannot_be_kept_is_refused(db, project, people, save, name, text, error):
    with pytest.raises(error):
        await save(people[0], name, text)
    assert await names_of(db, project, people[0]) == []


async def test_a_name_is_taken_once_for_each_owner(save, people):
    await save(people[0], "Mail")
    await save(people[1], "Mail")
    await save(people[0], "Mail", team=True)
    with pytest.raises(Conflict, match="already"):
        await save(people[0], "mail")


async def test_there_are_only_so_many(save, people, monkeypatch):
    monkeypatch.setattr(service, "MOST", 2)
    await save(people[0], "one")
    await save(people[0], "two")
    with pytest.raises(Conflict, match="2 views already"):
        await save(people[0], "three")


async def test_viewer_keeps_views_but_shares_none(db, clock, project, people, save):
    ann, bob = people
    team = await save(ann, "Ours", team=True)
    with pytest.raises(Forbidden, match="views:share"):
        await save(bob, "Mine", team=True, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        await remove_view(db, KEYRING, clock, Access(project, Role.VIEWER), bob, team.id)
    await save(bob, "Mine", role=Role.VIEWER)
    assert await names_of(db, project, bob) == ["Mine", "Ours"]


async def test_a_program_has_no_views_of_its_own(save):
    with pytest.raises(Invalid, match="team"):
        await save(Actor("token", "1", "qd_pat_1", "bearer"))


async def test_removal_is_of_ones_own_and_of_this_project(
    db, clock, project, other_project, people, save
):
    ann, bob = people
    made = await save(ann)
    for access, by in (
        (Access(project, Role.OWNER), bob),
        (Access(other_project, Role.OWNER), ann),
    ):
        with pytest.raises(NotFound):
            await remove_view(db, KEYRING, clock, access, by, made.id)
    await remove_view(db, KEYRING, clock, Access(project, Role.VIEWER), ann, made.id)
    assert await names_of(db, project, ann) == []


async def test_audit_log_knows_who_kept_what(db, clock, project, people, save):
    made = await save(people[0], "Ours", team=True)
    await remove_view(db, KEYRING, clock, Access(project, Role.OWNER), people[0], made.id)
    entries = (await list_entries(db, project.slug)).entries
    kept = [one for one in entries if one.action.startswith("view.")]
    assert [(one.action, one.target, one.actor.name) for one in kept] == [
        (action, f"view:{made.id}", "ann@example.com") for action in ("view.remove", "view.save")
    ]
    assert kept[0].payload == {"name": "Ours", "filter": "queue:mail", "for": "team"}


@pytest.mark.parametrize("view", SYSTEM_VIEWS, ids=lambda view: view.ref)
def test_system_view_is_a_question_as_the_language_writes_it(view):
    assert to_text(parse(view.question)) == view.question
    assert not view.ref.isdecimal()


async def test_views_are_one_statement(db, project, people, save):
    for number in range(5):
        await save(people[0], f"View {number}")
    counted = []

    def note(*arguments):
        counted.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", note)
    await views_of(db, project.id, people[0])
    event.remove(Engine, "before_cursor_execute", note)
    assert len([one for one in counted if "saved_views" in one]) == 1
