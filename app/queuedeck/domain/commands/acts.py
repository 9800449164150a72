# SPDX-License-Identifier: AGPL-3.0-only
"""What operators do with one task beside retry and cancel, and running a task by its name."""

import hashlib

from msgspec.structs import replace

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.entered import (
    Entered,
    checked_priority,
    checked_queue,
    has_mark,
)
from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.domain.commands.service import NO_DETAILS, Order, find_task, request, task_order
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import Invalid, NotFound
from queuedeck.history.tasks import TaskDetail
from queuedeck.ids import new_id
from queuedeck_agent import wire

MAX_NAME = 500
MAX_ONCE = 100


async def request_edit(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    entered: Entered,
    by: Actor,
    *,
    key: int | None = None,
    once: str = "",
) -> CommandSeen:
    """Ask an agent to send the task again with other arguments, as a new task.

    Where an agent can open the original call, what is left as it was shown stands for the original
    value there. `once`: the same asked twice with it is done once.
    """
    details = entered.details()
    task = await find_task(desk, project, engine, task_id, key)
    refusal = rules.edit_refusal(desk.registry, project.id, task)
    kept = rules.keeps_original(desk.registry, project.id, task)
    if not refusal and not kept and has_mark([entered.args, entered.kwargs]):
        raise Invalid(
            "Some of these values were hidden or cut when they were captured, and nobody has the "
            "original to put in their place. Write the whole values."
        )
    order = task_order(task, rules.EDIT, details)
    if not kept:
        order = replace(order, seal_id="")
    order = replace(order, command_id=_chosen_id(project.id, rules.EDIT, once))
    command = await request(desk, project, order, by, refusal=refusal, told=_told(details))
    desk.commands_changed(project.id)
    return command


async def request_move(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    queue: str,
    by: Actor,
    *,
    key: int | None = None,
) -> CommandSeen:
    """Ask an agent to move a waiting task to another queue."""
    task = await find_task(desk, project, engine, task_id, key)
    details = wire.CommandDetails(queue=checked_queue(queue))
    if not details.queue:
        raise Invalid("Say to which queue.")
    if details.queue == task.row.queue:
        raise Invalid(f"The task is in `{details.queue}` already.")
    return await _request(desk, project, task, rules.MOVE, details, by)


async def request_priority(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    priority: int,
    by: Actor,
    *,
    key: int | None = None,
) -> CommandSeen:
    """Ask an agent to give a waiting task another priority, in the engine's own scale."""
    task = await find_task(desk, project, engine, task_id, key)
    details = wire.CommandDetails(priority=checked_priority(priority))
    return await _request(desk, project, task, rules.PRIORITY, details, by)


async def request_requeue(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    by: Actor,
    *,
    key: int | None = None,
) -> CommandSeen:
    """Ask an agent to put the engine's own copy of a task that was given up back into its queue."""
    task = await find_task(desk, project, engine, task_id, key)
    return await _request(desk, project, task, rules.REQUEUE, NO_DETAILS, by)


async def request_reconcile(
    desk: CommandDesk,
    project: ProjectSeen,
    engine: str,
    task_id: str,
    by: Actor,
    *,
    key: int | None = None,
) -> CommandSeen:
    """Ask an agent what the engine itself says of the task now."""
    task = await find_task(desk, project, engine, task_id, key)
    return await _request(desk, project, task, rules.RECONCILE, NO_DETAILS, by)


async def request_submit(
    desk: CommandDesk,
    project: ProjectSeen,
    source: str,
    task_name: str,
    entered: Entered,
    by: Actor,
    *,
    once: str = "",
) -> CommandSeen:
    """Ask an agent to run a task by its name. `once`: the same asked twice with it is done once.

    Raises `NotFound` for a source that the project does not have, `Invalid` for what cannot be a
    name or a call. Whether the name is registered, only the application knows.
    """
    task_name = task_name.strip()
    if not task_name or len(task_name) > MAX_NAME or not task_name.isprintable():
        raise Invalid(f"A task's name has 1 to {MAX_NAME} printable characters.")
    details = entered.details()
    if has_mark([entered.args, entered.kwargs]):
        raise Invalid("Some of these values are marks of hidden ones. Write the whole values.")
    engine = await _engine_of(desk, project.id, source)
    refusal = rules.submit_refusal(desk.registry, project.id, source)
    command_id = _chosen_id(project.id, rules.SUBMIT, once) or new_id()
    order = Order(
        verb=rules.SUBMIT,
        engine=engine,
        source=source,
        target=f"name:{source}:{task_name}#{command_id}",
        task_name=task_name,
        queue=details.queue,
        details=details,
        command_id=command_id,
    )
    command = await request(desk, project, order, by, refusal=refusal, told=_told(details))
    desk.commands_changed(project.id)
    return command


async def _request(
    desk: CommandDesk,
    project: ProjectSeen,
    task: TaskDetail,
    verb: str,
    details: wire.CommandDetails,
    by: Actor,
) -> CommandSeen:
    refusal = rules.REFUSALS[verb](desk.registry, project.id, task)
    order = task_order(task, verb, details)
    command = await request(desk, project, order, by, refusal=refusal, told=_told(details))
    desk.commands_changed(project.id)
    return command


async def _engine_of(desk: CommandDesk, project_id: int, source: str) -> str:
    for agent in desk.registry.agents(project_id):
        if info := agent.engine_of(source):
            return info.engine
    for known in await desk.history.sources(project_id):
        if known.source == source:
            return known.engine
    raise NotFound("This project has no such source.")


def _chosen_id(project_id: int, verb: str, once: str) -> str:
    """The command's id where whoever asks has chosen what makes it unique; else nothing."""
    if len(once) > MAX_ONCE or not once.isprintable():
        raise Invalid(f"What makes a request unique has up to {MAX_ONCE} printable characters.")
    digest = hashlib.sha256(f"{project_id}\0{verb}\0{once}".encode()).hexdigest()
    return digest[:32] if once else ""


def _told(details: wire.CommandDetails) -> dict[str, object]:
    """What the audit log says of the details. Never the arguments: they may hold secrets."""
    said = {
        "queue": details.queue,
        "priority": details.priority if details.priority >= 0 else "",
        "delay_s": details.delay_s or "",
        "arguments_bytes": len(details.args) or "",
    }
    return {name: value for name, value in said.items() if value != ""}
