# SPDX-License-Identifier: AGPL-3.0-only
"""Who may do what: one table, role -> permissions. Nothing else decides."""

from enum import StrEnum


class Permission(StrEnum):
    """What a handler declares. A route that declares none stops the start of the server."""

    READ_TASKS = "tasks:read"
    READ_AGENTS = "agents:read"
    READ_AUDIT = "audit:read"
    RETRY = "tasks:retry"
    CANCEL = "tasks:cancel"
    SUBMIT = "tasks:submit"
    """Run a task with arguments of one's own: submit, and edit and retry."""
    MOVE = "tasks:move"
    """Move waiting tasks to another queue, or change their priority."""
    RUN_OPERATIONS = "operations:run"
    """Act on many tasks at once, each act also by its own permission."""
    INSPECT_QUEUES = "queues:inspect"
    """Look at messages that wait or were given up."""
    PAUSE = "queues:pause"
    PURGE = "queues:purge"
    CONTROL_WORKERS = "workers:control"
    """Change pools and rates; drain and restart workers."""
    SHARE_VIEWS = "views:share"
    """Save filters for everybody in the project, and remove them. One's own need no permission."""
    CONNECT_AGENTS = "agents:connect"
    """Make the key that connects workers, and see the connect page."""
    MANAGE_LABELS = "labels:manage"
    """Write the rules that name and mark tasks."""
    MANAGE_MEMBERS = "members:manage"
    MANAGE_PROJECT = "project:manage"


class Role(StrEnum):
    """What a member is in one project."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"


_READ = {Permission.READ_TASKS, Permission.READ_AGENTS}

_OPERATE = {
    Permission.RETRY,
    Permission.CANCEL,
    Permission.SUBMIT,
    Permission.MOVE,
    Permission.RUN_OPERATIONS,
    Permission.INSPECT_QUEUES,
    Permission.PAUSE,
    Permission.PURGE,
    Permission.CONTROL_WORKERS,
    Permission.SHARE_VIEWS,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(Permission) - {Permission.MANAGE_PROJECT},
    Role.OPERATOR: frozenset(_READ | _OPERATE | {Permission.READ_AUDIT}),
    Role.AUDITOR: frozenset(_READ | {Permission.READ_AUDIT}),
    Role.VIEWER: frozenset(_READ),
}


def allows(role: Role, permission: Permission) -> bool:
    return permission in ROLE_PERMISSIONS[role]
