# SPDX-License-Identifier: AGPL-3.0-only
"""Commands for programs: ask for one, and see what came of it."""

from typing import Annotated, cast

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.later import seconds_until
from queuedeck.domain.commands.queries import CommandSeen, find_command
from queuedeck.domain.commands.service import request_cancel, request_retry
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.errors import Invalid

Delay = Annotated[int, QueryParameter(description="Not before so many seconds from now.")]
NotBefore = Annotated[
    int | None,
    QueryParameter(description="Not before this time, in place of `delay_s`. Microseconds, UTC."),
]

TASK_PATH = "/tasks/{engine:str}/{task_id:str}"


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    verb: str
    engine: str
    task_id: str
    task_name: str
    source: str
    queue: str
    target: str
    state: str
    """pending, sent, done, failed, expired or unknown."""
    code: str
    message: str
    effect: str
    new_task_id: str
    verified: bool
    affected: int
    """Messages or tasks that it touched; -1: not counted."""
    found: object
    """What `peek`, `dead` or `reconcile` saw; null for other verbs."""
    requested_by: str
    audit_seq: int
    agent_id: str
    created_us: int
    deadline_us: int
    sent_us: int | None
    finished_us: int | None


class CommandAnswer(msgspec.Struct, frozen=True):
    command: CommandView


@post(
    TASK_PATH + "/retries",
    guards=[requires(Permission.RETRY)],
    status_code=202,
    summary="Run a task again with its original arguments",
    responses=errors(409, 422, 503),
)
async def retry_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
    delay_s: Delay = 0,
    at_us: NotBefore = None,
) -> CommandAnswer:
    later_s = delay_wanted(delay_s, at_us, services.clock())
    command = await request_retry(
        services, access.project, engine, decode_id(task_id), actor, key=key, delay_s=later_s
    )
    return answer(command)


@post(
    TASK_PATH + "/cancellations",
    guards=[requires(Permission.CANCEL)],
    status_code=202,
    summary="Cancel a task that has not ended",
    responses=errors(409, 503),
)
async def cancel_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    command = await request_cancel(
        services, access.project, engine, decode_id(task_id), actor, key=key
    )
    return answer(command)


@get(
    "/commands/{command_id:str}",
    guards=[requires(Permission.READ_TASKS)],
    summary="Show what came of a command",
    responses=errors(),
)
async def show_command(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    command_id: FromPath[str],
) -> CommandAnswer:
    return answer(await find_command(services.control, access.project.id, command_id))


def delay_wanted(delay_s: int, at_us: int | None, now_us: int) -> int:
    """Seconds from now, by one of the two. Raises `Invalid`."""
    if at_us is None:
        return delay_s
    if delay_s:
        raise Invalid("Say either `delay_s` or `at_us`, not both.")
    return seconds_until(at_us, now_us)


def answer(command: CommandSeen) -> CommandAnswer:
    """The command as programs see it."""
    names = set(CommandView.__struct_fields__) - {"found"}
    fields = {name: getattr(command, name) for name in names}
    fields["state"] = command.state.value
    return CommandAnswer(CommandView(**fields, found=_found(command.found)))


def _found(found: bytes) -> object:
    try:
        return cast("object", msgspec.json.decode(found)) if found else None
    except msgspec.DecodeError:
        return None
