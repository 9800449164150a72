# SPDX-License-Identifier: AGPL-3.0-only
"""Whether agents would carry out a command now, later, or not at all."""

from collections.abc import Iterable

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.operations.rules import Skip


class Abilities:
    """Answers for one project at one moment, each source and verb looked up once."""

    def __init__(self, registry: AgentRegistry, project_id: int) -> None:
        self._registry = registry
        self._project_id = project_id
        self._connected = [one.agent for one in registry.connections(project_id)]
        self._refusals: dict[tuple[str, str], Skip | None] = {}
        self._present: dict[tuple[str, str], bool] = {}

    def refusal(self, source: str, verb: str) -> Skip | None:
        """Why no agent, connected or of the last day, would do it; None when one would."""
        asked = (source, verb)
        if asked not in self._refusals:
            able, reason = self._registry.can(self._project_id, source, verb)
            self._refusals[asked] = None if able else Skip(self._code(source), reason)
        return self._refusals[asked]

    def is_present(self, source: str, verb: str) -> bool:
        """Whether an agent that would do it is connected."""
        asked = (source, verb)
        if asked not in self._present:
            self._present[asked] = any(agent.can(source, verb)[0] for agent in self._connected)
        return self._present[asked]

    def holds(self, source: str, verb: str, seal_id: str) -> bool:
        """Whether a connected agent that would do it holds the sealing key."""
        return any(
            seal_id in agent.hello.seal_ids and agent.can(source, verb)[0]
            for agent in self._connected
        )

    def present_sources(self, verbs: Iterable[str]) -> set[str]:
        """Where a connected agent would do one of them."""
        return {s for s in self._sources() for verb in verbs if self.is_present(s, verb)}

    def awaited_sources(self, verbs: Iterable[str]) -> set[str]:
        """Where only an agent that is away would do one of them."""
        asked = tuple(verbs)
        able = {s for s in self._sources() for verb in asked if self.refusal(s, verb) is None}
        return able - self.present_sources(asked)

    def _sources(self) -> set[str]:
        agents = self._registry.agents(self._project_id)
        return {engine.source for agent in agents for engine in agent.hello.engines}

    def _code(self, source: str) -> str:
        agents = self._registry.agents(self._project_id)
        return "policy" if any(agent.engine_of(source) for agent in agents) else "agent"
