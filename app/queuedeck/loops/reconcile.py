# SPDX-License-Identifier: AGPL-3.0-only
"""Looks for open tasks that seem stuck and asks their engines, by way of agents: a bounded portion
in each sweep, all projects and engines in turn. What was answered becomes a weak fact of the task.
"""

from collections.abc import Iterable, Mapping

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.projects.queries import ProjectSeen, list_projects
from queuedeck.domain.queues.watch import STALE_US
from queuedeck.domain.reconcile.answers import conclude, read_answered
from queuedeck.domain.reconcile.asking import MOST_TASKS, able_agents, ask, whom_to_ask
from queuedeck.domain.reconcile.processes import Holders, Processes
from queuedeck.domain.reconcile.suspects import (
    LEAST_LONG_US,
    TIMES_LONGER,
    Memory,
    Surroundings,
    is_suspicious,
)
from queuedeck.entrance.services import Services
from queuedeck.history.suspects import OpenTask
from queuedeck.history.tasks import TaskState
from queuedeck.history.trends import TaskOrder

ANSWERS_EVERY_S = 1.0
"""How often it is looked for answers, while any are awaited."""
LOOKED_AT = 500
"""Rows of each kind of state that are read in one sweep of a project; the next goes on there."""
MOST_ASKED = 200
"""Tasks that are asked about in one sweep of all projects."""
LONGEST_EVERY_US = 15 * MINUTE_US
"""How often it is looked how long tasks ran."""
LONGEST_OF = 500
"""So many task names, those that ran most often."""
TOPICS = frozenset({"agents"})

_RUNNING = (TaskState.RUNNING,)
_WAITING = (TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RETRYING)
_LOST = (TaskState.LOST,)
_HOUR_US = 60 * MINUTE_US


class Awaited(msgspec.Struct, frozen=True):
    """A command on its way, and the tasks that it asks about."""

    project_id: int
    tasks: dict[str, OpenTask]


class Suspect(msgspec.Struct, frozen=True):
    task: OpenTask
    holders: Holders


Group = tuple[str, str]
"""(source, agent) of tasks that are asked about together."""


class Reconcile:
    """Keeps between its rounds where each walk has come, and what was asked when."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._every_us = int(settings.reconcile_every_s * SECOND_US)
        self._away_us = int(settings.reconcile_away_s * SECOND_US)
        self._since_us = services.clock()
        # After a start agents have so long to come back.
        self._next_us = self._since_us + self._every_us // 2
        self._turn = 0
        self._memory = Memory()
        self._awaited: dict[str, Awaited] = {}
        self._reached: dict[tuple[int, tuple[TaskState, ...]], int] = {}
        self._longest: dict[int, tuple[int, dict[str, int]]] = {}

    async def round(self) -> None:
        """Takes what was answered; sweeps when it is time."""
        if self._awaited:
            await self._collect()
        if self._services.clock() >= self._next_us:
            self._next_us = self._services.clock() + self._every_us
            await self._sweep()

    async def _collect(self) -> None:
        s = self._services
        for command in await read_answered(s, list(self._awaited)):
            awaited = self._awaited.pop(command.id)
            project_id = awaited.project_id
            processes = Processes(s.registry.agents(project_id), self._since_us)
            await conclude(s, project_id, awaited.tasks, command.found, processes, self._away_us)
            s.live.publish(project_id, TOPICS)

    async def _sweep(self) -> None:
        """Each time another project comes first, and none takes more than its share."""
        s = self._services
        connected = s.registry.projects()
        projects = [one for one in await list_projects(s.control) if one.id in connected]
        self._turn += 1
        left = MOST_ASKED
        for at in range(len(projects)):
            project = projects[(self._turn + at) % len(projects)]
            share = max(1, left // (len(projects) - at))
            left -= await self._ask_in(project, share)

    async def _ask_in(self, project: ProjectSeen, share: int) -> int:
        """How many tasks were asked about."""
        s, now = self._services, self._services.clock()
        agents = s.registry.agents(project.id)
        around = await self._surroundings(project.id, now)
        processes = Processes(agents, self._since_us)
        looked_at, suspects = await self._suspects(project.id, processes, around)
        able = {source: able_agents(agents, source) for source in {x.task.source for x in suspects}}
        unanswerable = sum(not able[one.task.source] for one in suspects)
        s.truths.note_sweep(project.id, now, looked_at, len(suspects), unanswerable)
        asked = 0
        for (source, agent_id), tasks in self._portions(suspects, able, now, share).items():
            agent = next(one for one in able[source] if one.agent_id == agent_id)
            asked += await self._ask(project, agent, tasks, _ids(able[source]))
        s.live.publish(project.id, TOPICS)
        return asked

    async def _suspects(
        self, project_id: int, processes: Processes, around: Surroundings
    ) -> tuple[int, list[Suspect]]:
        """(open tasks that were looked at, those that seem stuck)."""
        looked_at, found = 0, list[Suspect]()
        for states in (_RUNNING, _WAITING, _LOST):
            after = self._reached.get((project_id, states), 0)
            page = await self._services.history.open_tasks(project_id, states, after, LOOKED_AT)
            self._reached[project_id, states] = page.after
            looked_at += page.looked_at if states is not _LOST else 0
            for task in page.tasks:
                holders = processes.of(task)
                if is_suspicious(task, holders, around):
                    found.append(Suspect(task, holders))
        return looked_at, found

    async def _surroundings(self, project_id: int, now: int) -> Surroundings:
        queues = self._services.watches.queues(project_id)
        empty = {
            key
            for key, one in queues.items()
            if one.depth.waiting == 0 and now - one.seen_us <= STALE_US
        }
        longest = await self._longest_of(project_id, now)
        return Surroundings(now, self._every_us // 2, longest, empty)

    async def _longest_of(self, project_id: int, now: int) -> dict[str, int]:
        """By task name: the run time beyond which a task is asked about."""
        at_us, known = self._longest.get(project_id, (0, {}))
        if now - at_us < LONGEST_EVERY_US and at_us:
            return known
        since = (now - 7 * DAY_US) // _HOUR_US * _HOUR_US
        trends = await self._services.history.task_trends(
            project_id, since, now, _HOUR_US, TaskOrder.ENDED, LONGEST_OF
        )
        longest = {
            one.name: max(LEAST_LONG_US, TIMES_LONGER * one.counts.run.p99)
            for one in trends.tasks
            if one.counts.run.p99 is not None
        }
        self._longest[project_id] = now, longest
        return longest

    def _portions(
        self,
        suspects: Iterable[Suspect],
        able: Mapping[str, list[AgentSeen]],
        now: int,
        share: int,
    ) -> dict[Group, list[OpenTask]]:
        """Which tasks are asked about now, by whom: every source and agent in turn, within the
        share; those first that were asked about least.
        """
        groups: dict[Group, list[OpenTask]] = {}
        for task, holders in ((one.task, one.holders) for one in suspects):
            agents = able[task.source]
            if agents and self._memory.is_due(task, _ids(agents), now, self._every_us):
                agent = whom_to_ask(agents, holders, self._memory.times(task))
                groups.setdefault((task.source, agent.agent_id), []).append(task)
        for tasks in groups.values():
            tasks.sort(key=lambda task: (self._memory.times(task), task.key))
        chosen: dict[Group, list[OpenTask]] = {}
        for at in range(MOST_TASKS):
            for group, tasks in groups.items():
                if share > 0 and at < len(tasks):
                    chosen.setdefault(group, []).append(tasks[at])
                    share -= 1
        return chosen

    async def _ask(
        self,
        project: ProjectSeen,
        agent: AgentSeen,
        tasks: list[OpenTask],
        able: frozenset[str],
    ) -> int:
        command_id = await ask(self._services, project, agent, tasks)
        if not command_id:
            return 0
        by_id = {task.task_id: task for task in tasks}
        self._awaited[command_id] = Awaited(project.id, by_id)
        for task in tasks:
            self._memory.note(task, able, self._services.clock())
        return len(tasks)


def _ids(agents: Iterable[AgentSeen]) -> frozenset[str]:
    return frozenset(agent.agent_id for agent in agents)
