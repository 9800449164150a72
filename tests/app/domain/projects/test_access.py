# SPDX-License-Identifier: AGPL-3.0-only
"""Who may do what in which project; what is foreign looks as if it did not exist."""

import pytest
from tests.support.control import KEYRING, PASSWORD, SHELL

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission, Role, allows
from queuedeck.domain.accounts.service import create_user
from queuedeck.domain.projects.access import find_access, require
from queuedeck.domain.projects.service import create_api_token
from queuedeck.errors import Forbidden, NotFound


@pytest.fixture
def user(db, passwords, project):
    async def make(role):
        made = await create_user(
            db,
            KEYRING,
            passwords,
            f"{role}@example.com",
            "",
            PASSWORD,
            SHELL,
            projects=(project,),
            role=role,
        )
        return Actor("user", str(made.id), made.email, "session:1")

    return make


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
async def test_member_may_what_the_table_says(db, user, role, permission):
    actor = await user(role)
    access = await find_access(db, actor, "shop")
    assert access.allows(permission) is allows(role, permission)


async def test_lesser_role_is_refused_with_its_name(db, user):
    actor = await user(Role.VIEWER)
    with pytest.raises(Forbidden, match=r"viewer.*tasks:retry"):
        await require(db, actor, "shop", Permission.RETRY)


async def test_foreign_project_answers_like_a_missing_one(db, user, other_project):
    actor = await user(Role.OWNER)
    answers = []
    for slug in ("bank", "nope"):
        with pytest.raises(NotFound) as refused:
            await require(db, actor, slug, Permission.READ_TASKS)
        answers.append(str(refused.value).replace(slug, "*"))
    assert answers[0] == answers[1]


async def test_token_is_good_for_its_project_only(db, project, other_project):
    made = await create_api_token(db, KEYRING, project, Role.OPERATOR, SHELL)
    actor = Actor("token", str(made.token_id), made.prefix, "bearer")
    assert (await require(db, actor, "shop", Permission.RETRY)).role is Role.OPERATOR
    with pytest.raises(NotFound):
        await find_access(db, actor, "bank")


async def test_shell_may_everything(db, project):
    access = await require(db, SHELL, "shop", Permission.MANAGE_PROJECT)
    assert access.project == project


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (Role.VIEWER, {"tasks:read", "agents:read"}),
        (Role.AUDITOR, {"tasks:read", "agents:read", "audit:read"}),
        (
            Role.OPERATOR,
            {p.value for p in Permission}
            - {"agents:connect", "labels:manage", "members:manage", "project:manage"},
        ),
        (Role.ADMIN, {p.value for p in Permission} - {"project:manage"}),
        (Role.OWNER, {p.value for p in Permission}),
    ],
)
def test_table_of_permissions(role, permissions):
    assert {p.value for p in Permission if allows(role, p)} == permissions
