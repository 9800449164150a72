# SPDX-License-Identifier: AGPL-3.0-only
"""May this actor do this in that project? What is foreign answers as if it did not exist."""

import msgspec
from sqlalchemy import select

from queuedeck.clock import Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.models import Member
from queuedeck.domain.accounts.permissions import Permission, Role, allows
from queuedeck.domain.audit import service as audit
from queuedeck.domain.projects.models import ApiToken, Project
from queuedeck.domain.projects.queries import ProjectSeen, seen
from queuedeck.errors import Forbidden, NotFound
from queuedeck.keyring import Keyring

_ACTS = {
    Permission.RETRY: "task.retry",
    Permission.CANCEL: "task.cancel",
    Permission.CONNECT_AGENTS: "agent-key.create",
    Permission.PAUSE: "queue.pause",
    Permission.PURGE: "queue.purge",
    Permission.INSPECT_QUEUES: "queue.inspect",
    Permission.CONTROL_WORKERS: "worker.control",
    Permission.MANAGE_LABELS: "labels.change",
}
"""What the audit log calls the use of a permission; the permission itself where it has no word."""


class Access(msgspec.Struct, frozen=True):
    """A project as one actor may see it."""

    project: ProjectSeen
    role: Role

    def allows(self, permission: Permission) -> bool:
        return allows(self.role, permission)


async def find_access(db: ControlDb, actor: Actor, slug: str) -> Access:
    """The project and the actor's role in it. Raises `NotFound` for no project or no role."""
    access = await db.remembered(
        ("access", actor.kind, actor.id, slug), lambda: _find_access(db, actor, slug)
    )
    if access is None:
        raise NotFound(f"There is no project {slug!r}, or you are not a member of it.")
    return access


async def _find_access(db: ControlDb, actor: Actor, slug: str) -> Access | None:
    async with db.read() as session:
        row = await session.scalar(select(Project).where(Project.slug == slug))
        role: str | None = None
        if row is not None and actor.kind in ("cli", "system"):
            role = Role.OWNER
        elif row is not None and actor.kind == "user":
            of_user = select(Member.role).where(Member.user_id == int(actor.id))
            role = await session.scalar(of_user.where(Member.project_id == row.id))
        elif row is not None:
            of_token = select(ApiToken.role).where(ApiToken.id == int(actor.id))
            role = await session.scalar(of_token.where(ApiToken.project_id == row.id))
    if row is None or role is None:
        return None
    return Access(seen(row), Role(role))


async def require(db: ControlDb, actor: Actor, slug: str, permission: Permission) -> Access:
    """The same, and the role must allow it. Raises `Forbidden` with the role's name."""
    access = await find_access(db, actor, slug)
    if not access.allows(permission):
        raise Forbidden(
            f"Your role in this project is {access.role.value}, which does not include "
            f"{permission.value}. Ask an owner of the project."
        )
    return access


async def record_refusal(
    db: ControlDb,
    keyring: Keyring,
    clock: Clock,
    actor: Actor,
    slug: str,
    permission: Permission,
    target: str,
    why: Forbidden,
) -> None:
    """Write down that somebody tried to act without the right to."""
    action = _ACTS.get(permission, permission.value)
    async with db.write() as session:
        await audit.append(
            session, keyring, clock, actor, action, target, "refused", slug, {"reason": why.message}
        )
