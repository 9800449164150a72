# SPDX-License-Identifier: AGPL-3.0-only
"""What can be run by its name: the sources of a project, and the tasks registered there."""

import msgspec

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.history.filters import TaskFilter
from queuedeck_agent import wire


class KnownSource(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one broker, and whether a task can be run there now."""

    source: str
    name: str
    """What a person reads, for example `redis://broker:6379/0`."""
    engine: str
    why_not: str = ""


async def known_sources(desk: CommandDesk, project_id: int) -> list[KnownSource]:
    """All that the project has had; those where a task can be run come first."""
    found: dict[str, KnownSource] = {}
    for one in await desk.history.sources(project_id):
        found[one.source] = KnownSource(source=one.source, name=one.name, engine=one.engine)
    for agent in desk.registry.agents(project_id):
        for info in agent.hello.engines:
            new = KnownSource(source=info.source, name=info.source, engine=info.engine)
            found.setdefault(info.source, new)
    judged = [_judged(desk.registry, project_id, one) for one in found.values()]
    return sorted(judged, key=lambda one: (bool(one.why_not), one.engine, one.name))


def known_tasks(registry: AgentRegistry, project_id: int, source: str) -> dict[str, wire.TaskInfo]:
    """By name: registered tasks with what is told of them, the others by their name alone."""
    found = registry.tasks(project_id, source)
    for agent in registry.agents(project_id):
        info = agent.engine_of(source)
        for name in info.tasks if info else ():
            found.setdefault(name, wire.TaskInfo(name))
    return dict(sorted(found.items()))


async def seen_names(desk: CommandDesk, project_id: int, source: str) -> list[str]:
    """Names that ran there of late, for engines that have no registry."""
    found = await desk.history.facets(project_id, TaskFilter(sources=(source,)))
    return sorted(name for name in found.by_key["task"].values if name)


def _judged(registry: AgentRegistry, project_id: int, one: KnownSource) -> KnownSource:
    refusal = rules.submit_refusal(registry, project_id, one.source)
    return msgspec.structs.replace(one, why_not=refusal.message if refusal else "")
