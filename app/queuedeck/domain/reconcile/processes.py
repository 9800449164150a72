# SPDX-License-Identifier: AGPL-3.0-only
"""What the server knows of the processes that began a task: which agents could be theirs, and when
these were last heard. Pure. Silence of an agent is no death: it is weighed in `judge`.
"""

from collections.abc import Iterable

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.history.suspects import OpenTask
from queuedeck_agent import wire

LEFT_BEFORE_US = 60 * SECOND_US
"""An agent that left so long before a task began cannot have begun it, whatever its clock said."""


class Holders(msgspec.Struct, frozen=True):
    """Of all starts of one task."""

    present: tuple[AgentSeen, ...]
    """Connected agents that could have begun it: its worker's name, and up before it began."""
    left: tuple[AgentSeen, ...]
    """The same, that are not connected."""
    heard_us: int
    """When the last of those that are absent was heard; of one that this server has never seen,
    when the server began to listen."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether one that could have begun it is not connected."""
        return bool(self.left) or not self.present


class Processes:
    """The workers of one project at this moment."""

    def __init__(self, agents: Iterable[AgentSeen], since_us: int) -> None:
        self._since_us = since_us
        self._named: dict[tuple[str, str], list[AgentSeen]] = {}
        for agent in agents:
            for engine in agent.hello.engines:
                if engine.worker:
                    self._named.setdefault((engine.source, engine.worker), []).append(agent)

    def of(self, task: OpenTask) -> Holders:
        """Who could have begun it. Whoever only took it counts, where nobody began it."""
        present: dict[str, AgentSeen] = {}
        left: dict[str, AgentSeen] = {}
        heard_us = 0
        for start in task.starts:
            could = self._could(task.source, start)
            here = [agent for agent in could if agent.connected]
            away = [agent for agent in could if not agent.connected]
            present |= {agent.agent_id: agent for agent in here}
            left |= {agent.agent_id: agent for agent in away}
            if not here:
                seen = (agent.seen_us for agent in away)
                heard_us = max(heard_us, *seen, self._since_us if not away else 0)
        return Holders(tuple(present.values()), tuple(left.values()), heard_us)

    def _could(self, source: str, start: wire.StartSeen) -> list[AgentSeen]:
        return [
            agent
            for agent in self._named.get((source, start.worker), ())
            if agent.hello.started_us <= start.at_us and not _had_left(agent, start)
        ]


def _had_left(agent: AgentSeen, start: wire.StartSeen) -> bool:
    at_us = start.at_us - agent.clock_skew_us
    return not agent.connected and agent.seen_us + LEFT_BEFORE_US < at_us
