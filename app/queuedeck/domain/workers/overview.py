# SPDX-License-Identifier: AGPL-3.0-only
"""All workers of a project: what their agents say of them, and what they run now."""

from collections.abc import Sequence

import msgspec

from queuedeck.db.engine import ControlDb
from queuedeck.domain.agents.registry import AgentRegistry, AgentSeen
from queuedeck.domain.commands.models import Command
from queuedeck.domain.commands.queries import CommandSeen, CommandState, seen, visible
from queuedeck.errors import NotFound
from queuedeck.history.filters import TaskFilter
from queuedeck.history.store import History
from queuedeck.history.tasks import TaskRow, TaskState
from queuedeck_agent import wire

RUNNING_SHOWN = 200
"""Running tasks of all workers together that are looked at."""
ASKED_SHOWN = 200
CONTROL = ("pool", "rate", "drain", "undrain", "restart")


class WorkerRef(msgspec.Struct, frozen=True):
    """One worker: the engine's own name of it, in one process."""

    agent_id: str
    source: str
    engine: str
    name: str

    @property
    def target(self) -> str:
        """What a command's `target` is."""
        return f"worker:{self.source}:{self.name}"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker and all that is known of it."""

    ref: WorkerRef
    agent: AgentSeen
    engine: wire.EngineInfo
    running: list[TaskRow]
    """Those that were seen last, newest first."""
    commands: list[CommandSeen]
    """What was asked of this process's worker, newest first."""

    @property
    def drained(self) -> CommandSeen | None:
        """The command that made it stop taking, unless it went on since."""
        last = next((c for c in self.commands if c.verb in ("drain", "undrain") and _took(c)), None)
        return last if last is not None and last.verb == "drain" else None


def list_workers(agents: Sequence[AgentSeen]) -> list[tuple[WorkerRef, AgentSeen, wire.EngineInfo]]:
    """The workers of these agents, in the same order."""
    return [
        (WorkerRef(agent.agent_id, one.source, one.engine, _name(one, agent)), agent, one)
        for agent in agents
        for one in agent.hello.engines
        if one.role == "worker"
    ]


def find_worker(
    registry: AgentRegistry, project_id: int, agent_id: str, source: str
) -> tuple[WorkerRef, AgentSeen]:
    """The worker of that process on that source. Raises `NotFound`."""
    for ref, agent, _ in list_workers(registry.agents(project_id)):
        if ref.agent_id == agent_id and ref.source == source:
            return ref, agent
    raise NotFound("There is no such worker in this project, or it left more than a day ago.")


async def workers_of(
    db: ControlDb, history: History, registry: AgentRegistry, project_id: int
) -> list[Worker]:
    """All that are connected, then those that left within a day."""
    found = list_workers(registry.agents(project_id))
    if not found:
        return []
    question = TaskFilter(states=(TaskState.RUNNING,))
    running = (await history.list_tasks(project_id, question, RUNNING_SHOWN, "")).tasks
    asked = await _commands(db, project_id, {ref.target for ref, _, _ in found})
    return [
        Worker(
            ref=ref,
            agent=agent,
            engine=engine,
            running=[t for t in running if (t.source, t.worker) == (ref.source, ref.name)],
            commands=[c for c in asked if (c.target, c.only_agent) == (ref.target, ref.agent_id)],
        )
        for ref, agent, engine in found
    ]


async def _commands(db: ControlDb, project_id: int, targets: set[str]) -> list[CommandSeen]:
    statement = (
        visible(project_id)
        .where(Command.target.in_(targets))
        .order_by(Command.created_us.desc(), Command.id)
        .limit(ASKED_SHOWN)
    )
    async with db.read() as session:
        return [seen(row) for row in await session.scalars(statement)]


def _name(engine: wire.EngineInfo, agent: AgentSeen) -> str:
    return engine.worker or f"{agent.hello.pid}@{agent.hello.host}"


def _took(command: CommandSeen) -> bool:
    return command.state is CommandState.DONE
