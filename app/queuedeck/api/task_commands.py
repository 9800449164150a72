# SPDX-License-Identifier: AGPL-3.0-only
"""What programs do with one task beside retry and cancel."""

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from queuedeck.api.commands import TASK_PATH, CommandAnswer, answer, delay_wanted
from queuedeck.api.views import errors
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.acts import (
    request_edit,
    request_move,
    request_priority,
    request_reconcile,
    request_requeue,
)
from queuedeck.domain.commands.entered import Entered
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import requires
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services


class CallWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call: arguments by place and by name, and where and when."""

    args: list[object] = []
    kwargs: dict[str, object] = {}
    queue: str = ""
    """Empty: where the task's own queue is."""
    priority: int | None = None
    """In the engine's own scale."""
    delay_s: int = 0
    """Not before so many seconds from now."""
    at_us: int | None = None
    """Not before this time, instead of `delay_s`."""
    once: str = ""
    """The same request sent again with the same text here is carried out once."""

    def entered(self, now_us: int) -> Entered:
        return Entered(
            args=self.args,
            kwargs=self.kwargs,
            queue=self.queue,
            priority=self.priority,
            delay_s=delay_wanted(self.delay_s, self.at_us, now_us),
        )


class MoveWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    queue: str


class PriorityWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    priority: int


@post(
    TASK_PATH + "/edits",
    guards=[requires(Permission.SUBMIT)],
    status_code=202,
    summary="Run a task again with other arguments, as a new task",
    responses=errors(409, 422, 503),
)
async def edit_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: JSONBody[CallWanted],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    command = await request_edit(
        services, access.project, engine, decode_id(task_id), data.entered(services.clock()), actor,
        key=key, once=data.once,
    )  # fmt: skip
    return answer(command)


@post(
    TASK_PATH + "/moves",
    guards=[requires(Permission.MOVE)],
    status_code=202,
    summary="Move a waiting task to another queue",
    responses=errors(409, 422, 503),
)
async def move_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: JSONBody[MoveWanted],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    task = decode_id(task_id)
    return answer(
        await request_move(services, access.project, engine, task, data.queue, actor, key=key)
    )


@post(
    TASK_PATH + "/priorities",
    guards=[requires(Permission.MOVE)],
    status_code=202,
    summary="Give a waiting task another priority, in the engine's own scale",
    responses=errors(409, 422, 503),
)
async def prioritise_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    data: JSONBody[PriorityWanted],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    task = decode_id(task_id)
    return answer(
        await request_priority(
            services, access.project, engine, task, data.priority, actor, key=key
        )
    )


@post(
    TASK_PATH + "/requeues",
    guards=[requires(Permission.RETRY)],
    status_code=202,
    summary="Put the engine's own copy of a task that was given up back into its queue",
    responses=errors(409, 503),
)
async def requeue_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    task = decode_id(task_id)
    return answer(await request_requeue(services, access.project, engine, task, actor, key=key))


@post(
    TASK_PATH + "/reconciliations",
    guards=[requires(Permission.INSPECT_QUEUES)],
    status_code=202,
    summary="Ask the engine itself what it says of a task",
    responses=errors(409, 503),
)
async def reconcile_task(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    engine: FromPath[str],
    task_id: FromPath[str],
    key: FromQuery[int | None] = None,
) -> CommandAnswer:
    task = decode_id(task_id)
    return answer(await request_reconcile(services, access.project, engine, task, actor, key=key))


HANDLERS = [edit_task, move_task, prioritise_task, requeue_task, reconcile_task]
