# SPDX-License-Identifier: AGPL-3.0-only
"""Commands about secrets of a project: DSNs for agents, tokens for programs."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from queuedeck.cli.admin import admin_options, control, note, say
from queuedeck.cli.people import ROLES
from queuedeck.clock import DAY_US, SECOND_US, now_us
from queuedeck.domain.accounts.permissions import Role
from queuedeck.settings import Settings

if TYPE_CHECKING:
    from queuedeck.domain.projects.queries import AgentKeySeen, ApiTokenSeen
    from queuedeck.domain.projects.service import DsnMade, TokenMade


@click.group()
def keys() -> None:
    """Make, list and revoke the keys that connect workers."""


@keys.command("create")
@click.argument("project")
@click.option(
    "--from", "from_dsn", default="", metavar="DSN",
    help="A DSN of the project, or - to read it from standard input: the new one opens the same "
    "sealed calls.",
)  # fmt: skip
@admin_options
def create_key(project: str, from_dsn: str, settings: Settings, as_json: bool) -> None:
    """Make a key for PROJECT and print its DSN, once. Put it into QUEUEDECK_DSN of the workers."""
    from queuedeck.domain.projects import queries, service

    if from_dsn == "-":
        from_dsn = sys.stdin.readline().strip()
    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        made: DsnMade = admin.run(
            service.create_agent_key(
                admin.db, admin.keyring, admin.settings, found, admin.by, from_dsn
            )
        )
    if not made.opens_old:
        note(
            "This DSN cannot open what was sealed with "
            f"{', '.join(made.other_seal_ids)}: to retry those tasks, make it with --from and an "
            "older DSN, or keep the older one in QUEUEDECK_DSN_PREVIOUS."
        )
    say(as_json, made.dsn, msgspec.to_builtins(made))


@keys.command("list")
@click.argument("project")
@admin_options
def list_keys(project: str, settings: Settings, as_json: bool) -> None:
    """List the keys of PROJECT, newest first."""
    from queuedeck.domain.projects import queries

    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        rows: list[AgentKeySeen] = admin.run(queries.list_agent_keys(admin.db, found.id))
    text = "\n".join(
        f"{row.id:>4}  {row.prefix}…  seal {row.seal_id}  {_life(row)}" for row in rows
    )
    say(as_json, text or "There are no keys.", {"keys": msgspec.to_builtins(rows)})


@keys.command("revoke")
@click.argument("project")
@click.argument("key_id", type=int)
@admin_options
def revoke_key(project: str, key_id: int, settings: Settings, as_json: bool) -> None:
    """Revoke a key of PROJECT: no agent connects with it any more."""
    from queuedeck.domain.projects import queries, service

    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        admin.run(service.revoke_agent_key(admin.db, admin.keyring, found, key_id, admin.by))
    say(as_json, f"Key {key_id} is revoked.", {"revoked": key_id})


@click.group()
def tokens() -> None:
    """Make, list and revoke API tokens."""


@tokens.command("create")
@click.argument("project")
@click.option("--role", type=ROLES, required=True, help="What the token may do.")
@click.option("--days", type=click.IntRange(1), help="Days until it expires. Default: never.")
@admin_options
def create_token(
    project: str, role: str, days: int | None, settings: Settings, as_json: bool
) -> None:
    """Make an API token for PROJECT and print it, once."""
    from queuedeck.domain.projects import queries, service

    expires_us = now_us() + days * DAY_US if days else None
    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        made: TokenMade = admin.run(
            service.create_api_token(
                admin.db, admin.keyring, found, Role(role), admin.by, expires_us=expires_us
            )
        )
    say(as_json, made.token, msgspec.to_builtins(made))


@tokens.command("list")
@click.argument("project")
@admin_options
def list_tokens(project: str, settings: Settings, as_json: bool) -> None:
    """List the API tokens of PROJECT, newest first."""
    from queuedeck.domain.projects import queries

    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        rows: list[ApiTokenSeen] = admin.run(queries.list_api_tokens(admin.db, found.id))
    text = "\n".join(
        f"{row.id:>4}  {row.prefix}…  {row.role.value:<8}  {_life(row)}" for row in rows
    )
    say(as_json, text or "There are no tokens.", {"tokens": msgspec.to_builtins(rows)})


@tokens.command("revoke")
@click.argument("project")
@click.argument("token_id", type=int)
@admin_options
def revoke_token(project: str, token_id: int, settings: Settings, as_json: bool) -> None:
    """Revoke an API token of PROJECT."""
    from queuedeck.domain.projects import queries, service

    with control(settings) as admin:
        found = admin.run(queries.find_project(admin.db, project))
        admin.run(service.revoke_api_token(admin.db, admin.keyring, found, token_id, admin.by))
    say(as_json, f"Token {token_id} is revoked.", {"revoked": token_id})


def _life(row: "AgentKeySeen | ApiTokenSeen") -> str:
    used = f"used {_day(row.last_used_us)}" if row.last_used_us else "never used"
    revoked = f", revoked {_day(row.revoked_us)}" if row.revoked_us else ""
    return f"made {_day(row.created_us)} by {row.created_by}, {used}{revoked}"


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y-%m-%d %H:%M UTC")
