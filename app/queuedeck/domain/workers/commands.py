# SPDX-License-Identifier: AGPL-3.0-only
"""Asks a worker's own agent to change its pool, to stop or go on taking tasks, to start anew."""

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.agents.registry import AgentRegistry, AgentSeen
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.domain.commands.service import Order, request
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.workers.overview import CONTROL, WorkerRef, find_worker
from queuedeck.errors import Conflict, Invalid, NotSupported, QueuedeckError
from queuedeck_agent import wire

MAX_SLOTS = 1_000
MAX_RATE = 40


async def request_control(
    desk: CommandDesk,
    project: ProjectSeen,
    agent_id: str,
    source: str,
    verb: str,
    by: Actor,
    *,
    amount: int = 0,
    task_name: str = "",
    rate: str = "",
    request_id: str = "",
) -> CommandSeen:
    """Ask the worker of that process for one of `CONTROL`.

    `amount`: slots to add, or to take away when negative; `rate` and `task_name`: how often tasks
    of that name may start there. Raises `NotFound`, `Invalid`, `Conflict` or `NotSupported`.
    """
    worker, agent = find_worker(desk.registry, project.id, agent_id, source)
    _check(verb, amount, task_name, rate)
    details = wire.CommandDetails(worker=worker.name, amount=amount, rate=rate.strip())
    order = Order(
        verb=verb,
        engine=worker.engine,
        source=worker.source,
        target=worker.target,
        task_name=task_name if verb == "rate" else "",
        details=details,
        only_agent=worker.agent_id,
    )
    told: dict[str, object] = {"worker": worker.name, "host": agent.hello.host}
    told |= {"amount": amount} if amount else {}
    told |= {"rate": rate} if verb == "rate" else {}
    refusal = control_refusal(desk.registry, project.id, worker, verb)
    command = await request(
        desk, project, order, by, refusal=refusal, told=told, request_id=request_id
    )
    if (command.details, command.task_name) != (order.details, order.task_name):
        raise Conflict("The same is under way there with another number. Wait for its outcome.")
    desk.commands_changed(project.id)
    return command


def control_refusal(
    registry: AgentRegistry, project_id: int, worker: WorkerRef, verb: str
) -> QueuedeckError | None:
    """Why the worker cannot be asked now; None when it can."""
    _, agent = find_worker(registry, project_id, worker.agent_id, worker.source)
    return refusal_of(agent, worker, verb)


def refusal_of(agent: AgentSeen, worker: WorkerRef, verb: str) -> QueuedeckError | None:
    """The same for whoever has the agent at hand."""
    able, why = agent.can(worker.source, verb)
    if not able:
        return NotSupported(why)
    if not agent.connected:
        return Conflict("This worker is not connected, so nobody could tell it.")
    return None


def _check(verb: str, amount: int, task_name: str, rate: str) -> None:
    if verb not in CONTROL:
        raise Invalid(f"A worker knows no {verb!r}.")
    if verb == "pool" and not 1 <= abs(amount) <= MAX_SLOTS:
        raise Invalid("Say how many slots to add, or, as a negative number, to take away.")
    if verb == "rate" and not task_name:
        raise Invalid("Say for which tasks the limit is meant.")
    if len(rate) > MAX_RATE:
        raise Invalid("That is no rate. Examples: `10/m`, `2/s`; empty takes the limit away.")
