# SPDX-License-Identifier: AGPL-3.0-only
"""Commands about people and projects."""

import secrets
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from queuedeck.cli.admin import Admin, admin_options, control, note, say
from queuedeck.domain.accounts.permissions import Role
from queuedeck.errors import Invalid
from queuedeck.settings import Settings

if TYPE_CHECKING:
    from queuedeck.domain.projects.queries import ProjectSeen

ROLES = click.Choice([role.value for role in Role])
GENERATED_BYTES = 15


@click.command()
@click.argument("email")
@click.option("--name", default="", help="Default: what stands before the @.")
@click.option("--project", "slug", help="Default: the only project; a first one if there is none.")
@click.option("--role", type=ROLES, default=Role.OWNER.value, show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@admin_options
def createuser(
    email: str,
    name: str,
    slug: str | None,
    role: str,
    password_stdin: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Create a user with a role in a project.

    Asks for a password; an empty one, or no terminal, generates one and prints it once.
    """
    from queuedeck.domain.accounts.passwords import Passwords
    from queuedeck.domain.accounts.service import check_email, create_user

    check_email(email)
    password, generated = _password(password_stdin)
    with control(settings, may_create=True) as admin:
        project = _project_for(admin, slug)
        user = admin.run(
            create_user(
                admin.db,
                admin.keyring,
                Passwords(),
                email,
                name,
                password,
                admin.by,
                projects=(project,),
                role=Role(role),
            )
        )
    answer = {"user": msgspec.to_builtins(user), "project": project.slug, "role": role}
    text = f"{user.email} is {role} of project {project.slug}."
    if generated:
        answer["password"] = password
        text += f"\nPassword, shown once: {password}"
    say(as_json, text, answer)


@click.group()
def projects() -> None:
    """Make and list projects."""


@projects.command("create")
@click.argument("name")
@click.option("--owner", default="", metavar="EMAIL", help="Default: the first account.")
@admin_options
def create_project(name: str, owner: str, settings: Settings, as_json: bool) -> None:
    """Make a project; its short name, used in URLs and DSNs, comes from NAME."""
    from queuedeck.domain.accounts.service import create_owned_project

    with control(settings, may_create=True) as admin:
        project, user = admin.run(
            create_owned_project(admin.db, admin.keyring, name, admin.by, owner=owner)
        )
    say(
        as_json,
        f"Project {project.name} is made; its short name is {project.slug}.\n"
        + (f"Its owner is {user.email}.\n" if user else "The first account will own it.\n")
        + f"Connect a worker with: queuedeck keys create {project.slug}",
        {"project": msgspec.to_builtins(project), "owner": user.email if user else None},
    )


@projects.command("list")
@admin_options
def list_projects(settings: Settings, as_json: bool) -> None:
    """List all projects."""
    from queuedeck.domain.projects import queries

    with control(settings) as admin:
        found: list[ProjectSeen] = admin.run(queries.list_projects(admin.db))
    text = "\n".join(f"{project.slug:<24} {project.name}" for project in found)
    say(as_json, text or "There are no projects yet.", {"projects": msgspec.to_builtins(found)})


def _password(from_stdin: bool) -> tuple[str, bool]:
    """The password, and whether it was generated."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise Invalid("Standard input holds no password.")
        return password, False
    if sys.stdin.isatty():
        password = click.prompt(
            "Password (empty: generate one)",
            default="",
            show_default=False,
            hide_input=True,
            confirmation_prompt=True,
            err=True,
        )
        if password:
            return password, False
    return secrets.token_urlsafe(GENERATED_BYTES), True


def _project_for(admin: Admin, slug: str | None) -> "ProjectSeen":
    from queuedeck.domain.accounts.links import FIRST_PROJECT
    from queuedeck.domain.projects import queries, service

    if slug:
        return admin.run(queries.find_project(admin.db, slug))
    found: list[ProjectSeen] = admin.run(queries.list_projects(admin.db))
    if len(found) > 1:
        slugs = ", ".join(project.slug for project in found)
        raise Invalid(f"There are several projects ({slugs}): name one with --project.")
    if found:
        return found[0]
    note(f"There is no project yet: making one named {FIRST_PROJECT}.")
    return admin.run(service.create_project(admin.db, admin.keyring, FIRST_PROJECT, admin.by))
