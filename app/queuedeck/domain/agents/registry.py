# SPDX-License-Identifier: AGPL-3.0-only
"""Who is connected, and who was within a day: in memory, filled by the gateway.

Nothing here knows the network: how to reach an agent is one function that the gateway gave.
"""

from collections.abc import Callable, Iterator

import msgspec

from queuedeck.clock import DAY_US, MINUTE_US, Clock, now_us
from queuedeck_agent import wire

KEPT_US = 1 * DAY_US
"""How long an agent that left is shown as last seen."""
MAX_LEFT = 5_000
"""Agents that left, per project: short-lived processes must not fill the memory."""
MAX_LAST_CATALOGS = 50
"""Per project."""
MEMORY_STEP_US = 2 * MINUTE_US
MEMORY_STEPS = 30
"""What an agent's processes take is remembered for an hour."""

Send = Callable[[wire.ServerMessage], None]
"""Puts a message in line for the agent; does not wait and does not fail."""


class AgentSeen(msgspec.Struct, frozen=True):
    """One agent as last heard of."""

    agent_id: str
    hello: wire.Hello
    connected: bool
    connected_us: int
    """When this connection, or the last one, began."""
    seen_us: int
    """When it was last heard."""
    heartbeat: wire.Heartbeat | None
    clock_skew_us: int
    """How far its clock is ahead of the server's; network time included."""
    memory: tuple[tuple[int, int], ...] = ()
    """(since when, the most bytes that its processes took), for each step that was heard."""

    def engine_of(self, source: str) -> wire.EngineInfo | None:
        """What it is attached to on that source."""
        return next((e for e in self.hello.engines if e.source == source), None)

    @property
    def rss_bytes(self) -> int:
        """What it and its children take; 0: not known."""
        beat = self.heartbeat
        return beat.rss_bytes + beat.children_rss_bytes if beat else 0

    @property
    def is_worker(self) -> bool:
        return any(engine.role == "worker" for engine in self.hello.engines)

    def can(self, source: str, verb: str) -> tuple[bool, str]:
        """Whether it would carry out the verb there; if not, why not and what to do."""
        engine = self.engine_of(source)
        if engine is None:
            return False, f"The agent on {self.hello.host} does not serve this broker."
        ability = next((c for c in engine.capabilities if c.verb == verb), None)
        if ability is None or ability.how == "none":
            reason = f" {ability.reason}" if ability and ability.reason else ""
            return False, f"`{verb}` is not possible on {engine.engine} here.{reason}"
        word = wire.VERBS[verb]
        if word not in self.hello.allow:
            return False, (
                f"The host {self.hello.host} does not allow `{verb}`. "
                f"Add `{word}` to QUEUEDECK_ALLOW there and start the worker again."
            )
        return True, ""


class Connection:
    """A live connection: the gateway holds it, and gives it back to `disconnect`."""

    def __init__(self, project_id: int, agent: AgentSeen, send: Send) -> None:
        self.project_id = project_id
        self.agent = agent
        self.send = send
        self.catalogs: dict[str, wire.TaskCatalog] = {}
        """Source -> the tasks that are registered there."""
        self.is_caught_up = False
        """What it was sent on an earlier connection, and did not answer, was sent again."""


class AgentRegistry:
    """All agents of all projects. Use on the event loop only."""

    def __init__(self, clock: Clock = now_us) -> None:
        self._clock = clock
        self._live: dict[int, dict[str, Connection]] = {}
        self._left: dict[int, dict[str, AgentSeen]] = {}
        self._last_catalogs: dict[int, dict[str, wire.TaskCatalog]] = {}
        """Of a source that nobody serves just now."""

    def connect(self, project_id: int, hello: wire.Hello, send: Send) -> Connection:
        """Enter an agent. A second connection of the same agent takes the place of the first."""
        now = self._clock()
        skew = hello.clock_us - now if hello.clock_us else 0
        agent = AgentSeen(hello.agent_id, hello, True, now, now, None, skew)
        connection = Connection(project_id, agent, send)
        self._live.setdefault(project_id, {})[hello.agent_id] = connection
        self._left.get(project_id, {}).pop(hello.agent_id, None)
        return connection

    def update(self, connection: Connection, hello: wire.Hello) -> None:
        """The agent says something new about itself on the same connection."""
        connection.agent = msgspec.structs.replace(
            connection.agent, hello=hello, seen_us=self._clock()
        )

    def heartbeat(self, connection: Connection, beat: wire.Heartbeat | None = None) -> None:
        """The agent was heard; with its numbers when it was a heartbeat."""
        now, agent = self._clock(), connection.agent
        connection.agent = msgspec.structs.replace(
            agent,
            seen_us=now,
            heartbeat=beat or agent.heartbeat,
            clock_skew_us=beat.clock_us - now if beat else agent.clock_skew_us,
            memory=_remembered(agent.memory, beat, now) if beat else agent.memory,
        )

    def disconnect(self, connection: Connection) -> None:
        """Keep it as last seen. Ignored when a newer connection has taken its place."""
        live = self._live.get(connection.project_id, {})
        agent = connection.agent
        if live.get(agent.agent_id) is not connection:
            return
        del live[agent.agent_id]
        self._keep_last(connection)
        left = self._left.setdefault(connection.project_id, {})
        left[agent.agent_id] = msgspec.structs.replace(agent, connected=False, memory=())
        self._forget_old(left)

    def learn(self, connection: Connection, catalog: wire.TaskCatalog) -> None:
        """The agent says which tasks it knows; many that say the same share one answer here."""
        for other in self._live.get(connection.project_id, {}).values():
            if other.catalogs.get(catalog.source) == catalog:
                catalog = other.catalogs[catalog.source]
                break
        connection.catalogs[catalog.source] = catalog

    def tasks(self, project_id: int, source: str) -> dict[str, wire.TaskInfo]:
        """What is registered for a source, by name: all that connected agents say, workers first;
        while there are none, what the last one said.
        """
        told = [
            connection.catalogs[source]
            for connection in self.connections(project_id)
            if source in connection.catalogs
        ]
        last = self._last_catalogs.get(project_id, {}).get(source)
        found: dict[str, wire.TaskInfo] = {}
        for catalog in told or ([last] if last else []):
            for task in catalog.tasks:
                found.setdefault(task.name, task)
        return found

    def connections(self, project_id: int) -> list[Connection]:
        """Workers first: a process that only sends may end at any moment, commands and all."""
        found = self._live.get(project_id, {}).values()
        return sorted(found, key=lambda connection: not connection.agent.is_worker)

    def projects(self) -> set[int]:
        """Those that have a connected agent."""
        return {project_id for project_id, live in self._live.items() if live}

    def agents(self, project_id: int) -> list[AgentSeen]:
        """Connected ones first, then those last seen within a day; each by host and process."""
        self._forget_old(self._left.get(project_id, {}))
        return sorted(
            self._all(project_id), key=lambda a: (not a.connected, a.hello.host, a.hello.pid)
        )

    def is_empty(self, project_id: int) -> bool:
        """Whether no agent has been heard for a day (or since the server started)."""
        return not self.agents(project_id)

    def can(self, project_id: int, source: str, verb: str, seal_id: str = "") -> tuple[bool, str]:
        """Whether some agent, connected or recent, would carry out the verb on that source.

        With `seal_id` it must also hold that sealing key. If not: why not and what to do.
        """
        serving = [a for a in self.agents(project_id) if a.engine_of(source)]
        if not serving:
            return False, (
                "No agent of this task's broker has been connected within a day. "
                "Start a worker with the agent attached."
            )
        answers = [(agent, *agent.can(source, verb)) for agent in serving]
        able = [agent for agent, ok, _ in answers if ok]
        if not able:
            return False, answers[0][2]
        if seal_id and not any(seal_id in agent.hello.seal_ids for agent in able):
            return False, (
                f"No agent holds the sealing key {seal_id} of this task. Put the DSN it was made "
                "with into QUEUEDECK_DSN_PREVIOUS on a worker and start that again."
            )
        return True, ""

    def queues(self, project_id: int, source: str) -> tuple[str, ...]:
        """Those that workers of the source consume, by name."""
        infos = (agent.engine_of(source) for agent in self.agents(project_id))
        return tuple(sorted({queue for info in infos if info for queue in info.queues}))

    def said(self, project_id: int, source: str, verb: str) -> str:
        """What an adapter of that source says that the verb does; empty where none can do it."""
        for agent in self.agents(project_id):
            engine = agent.engine_of(source)
            for one in engine.capabilities if engine else ():
                if one.verb == verb and one.how != "none":
                    return one.reason
        return ""

    def _all(self, project_id: int) -> Iterator[AgentSeen]:
        for connection in self._live.get(project_id, {}).values():
            yield connection.agent
        yield from self._left.get(project_id, {}).values()

    def _keep_last(self, connection: Connection) -> None:
        kept = self._last_catalogs.setdefault(connection.project_id, {})
        for source, catalog in connection.catalogs.items():
            kept.pop(source, None)
            kept[source] = catalog
        while len(kept) > MAX_LAST_CATALOGS:
            del kept[next(iter(kept))]

    def _forget_old(self, left: dict[str, AgentSeen]) -> None:
        oldest = self._clock() - KEPT_US
        for agent_id in [key for key, agent in left.items() if agent.seen_us < oldest]:
            del left[agent_id]
        while len(left) > MAX_LEFT:
            del left[next(iter(left))]


def _remembered(
    memory: tuple[tuple[int, int], ...], beat: wire.Heartbeat, now_us: int
) -> tuple[tuple[int, int], ...]:
    taken = beat.rss_bytes + beat.children_rss_bytes
    if not taken:
        return memory
    step_us = now_us - now_us % MEMORY_STEP_US
    if memory and memory[-1][0] == step_us:
        return (*memory[:-1], (step_us, max(taken, memory[-1][1])))
    return (*memory, (step_us, taken))[-MEMORY_STEPS:]
