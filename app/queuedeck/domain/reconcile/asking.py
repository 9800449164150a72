# SPDX-License-Identifier: AGPL-3.0-only
"""Asks agents about tasks that seem stuck: one command for many tasks of one source, audited as of
the server itself.
"""

from collections.abc import Iterable, Sequence

from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.commands.service import Order, request
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.domain.reconcile.processes import Holders
from queuedeck.history.suspects import OpenTask
from queuedeck_agent import wire

MOST_TASKS = 50
"""Of one command."""


def able_agents(agents: Iterable[AgentSeen], source: str) -> list[AgentSeen]:
    """Connected agents that can be asked about several tasks of a source."""
    return [
        agent
        for agent in agents
        if agent.connected and agent.hello.spool_id and agent.can(source, rules.RECONCILE)[0]
    ]


def whom_to_ask(able: Sequence[AgentSeen], holders: Holders, times: int) -> AgentSeen:
    """Who knows most: the very worker, else who shares its spool and so knows whether it lives,
    else one of its host; each time another of those that know as much.
    """
    mine = {agent.agent_id for agent in holders.present}
    spools = {agent.hello.spool_id for agent in holders.left} - {"", wire.NO_SPOOL}
    hosts = {agent.hello.host for agent in holders.left}

    def rank(agent: AgentSeen) -> int:
        if agent.hello.spool_id in spools:
            return 0
        return 1 if agent.agent_id in mine else 2 if agent.hello.host in hosts else 3

    best = min(map(rank, able))
    # Where nobody is known to know, whoever has a disk may: all have their turn.
    equal = sorted((one for one in able if rank(one) == best), key=lambda one: one.agent_id)
    return equal[times % len(equal)]


async def ask(
    desk: CommandDesk, project: ProjectSeen, agent: AgentSeen, tasks: Sequence[OpenTask]
) -> str:
    """The id of the command; empty when this agent has not answered the one before."""
    engine, source = tasks[0].engine, tasks[0].source
    details = wire.CommandDetails(
        tasks=tuple(wire.AskedTask(one.task_id, one.name, one.queue, one.starts) for one in tasks)
    )
    order = Order(
        verb=rules.RECONCILE,
        engine=engine,
        source=source,
        target=f"source:{source}",
        details=details,
        only_agent=agent.agent_id,
    )
    told: dict[str, object] = {"tasks": len(tasks), "agent": agent.agent_id[:8]}
    command = await request(desk, project, order, SYSTEM, told=told)
    desk.commands_changed(project.id)
    return command.id if command.details == details else ""
