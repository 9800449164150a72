# SPDX-License-Identifier: AGPL-3.0-only
"""What the administration commands share: options, the database, who acts, and how to answer."""

import asyncio
import functools
import getpass
import json
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from queuedeck import folder
from queuedeck.errors import NotFound
from queuedeck.settings import Settings, read_settings

if TYPE_CHECKING:
    from queuedeck.db.engine import ControlDb
    from queuedeck.domain.accounts.actor import Actor
    from queuedeck.keyring import Keyring

T = TypeVar("T")


class Admin(msgspec.Struct, frozen=True):
    """An open control database, for one command."""

    settings: Settings
    db: "ControlDb"
    keyring: "Keyring"
    by: "Actor"
    run: Callable[[Coroutine[Any, Any, Any]], Any]


def admin_options(command: Callable[..., T]) -> Callable[..., T]:
    """Adds --data and --json; the command receives `settings` and `as_json`."""

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="The server's data folder (QUEUEDECK_DATA).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead.")
    @functools.wraps(command)
    def with_settings(*args: Any, data: Path | None, **options: Any) -> T:
        settings = read_settings(data=data.absolute() if data else None)
        return command(*args, settings=_with_address(settings), **options)

    return with_settings


@contextmanager
def control(settings: Settings, *, may_create: bool = False) -> Generator[Admin]:
    """Open the database beside a running server, or without one."""
    from queuedeck.db.engine import ControlDb
    from queuedeck.domain.accounts.actor import Actor
    from queuedeck.domain.audit.queries import check_key
    from queuedeck.keyring import load_or_create

    with asyncio.Runner() as runner:
        if not may_create and not _is_there(settings, runner):
            raise NotFound(_nothing_there(settings))
        folder.prepare(settings.data)
        keyring = load_or_create(settings.data / folder.KEY_NAME, settings.secret)
        user = os_user()
        db = ControlDb(settings.control)
        runner.run(db.open())
        try:
            runner.run(check_key(db, keyring))
            yield Admin(settings, db, keyring, Actor("cli", user, user, "shell"), runner.run)
        finally:
            runner.run(db.close())


def say(as_json: bool, text: str, answer: Mapping[str, object]) -> None:
    """Answer a person, or a program."""
    click.echo(json.dumps(answer) if as_json else text)


def note(text: str) -> None:
    """For a person, beside an answer that a program may be reading."""
    click.echo(text, err=True)


def os_user() -> str:
    """Who runs the command; the number where it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _is_there(settings: Settings, runner: asyncio.Runner) -> bool:
    from queuedeck.db.engine import revision_of

    if settings.database_url:
        return bool(runner.run(revision_of(settings.database_url)))
    return settings.control_db.exists()


def _nothing_there(settings: Settings) -> str:
    if settings.database_url:
        return (
            f"There is no Queuedeck data in {settings.database_name}. Name the database that the "
            "server uses with QUEUEDECK_DATABASE_URL."
        )
    return (
        f"There is no Queuedeck data in {settings.data}. Name the folder that the server uses "
        "with --data or QUEUEDECK_DATA."
    )


def _with_address(settings: Settings) -> Settings:
    """A DSN made without QUEUEDECK_PUBLIC_URL names the address of the running server."""
    if settings.public_url:
        return settings
    try:
        url = json.loads((settings.data / folder.ADDRESS_NAME).read_text())["url"]
    except (OSError, ValueError, KeyError):
        return settings
    return msgspec.structs.replace(settings, public_url=str(url))
