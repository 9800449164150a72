# SPDX-License-Identifier: Apache-2.0
"""What the agent expects of an engine's adapter."""

from typing import Protocol

from queuedeck_agent import agent, wire


class Engine(Protocol):
    """One adapter, attached to one engine in this process.

    Its hooks never raise into the host, change its arguments, block it, or open a connection that
    it did not ask for: they are wrapped in `guard.contained`.
    """

    name: str
    """`celery`, `rq`, ..."""
    supports: str
    """The tested versions: `>=5.6,<5.7`. With others the adapter only observes."""
    version: str
    """The version that the host has."""

    def capabilities(self) -> tuple[wire.Capability, ...]:
        """Every verb: native, emulated, or not at all and why."""
        ...

    def attach(self, agent: agent.Agent) -> None:
        """Connects the hooks; they emit to `agent.recorder`."""
        ...

    def detach(self) -> None:
        """Disconnects them again."""
        ...

    def info(self) -> wire.EngineInfo:
        """What the server is told about this engine. Called on the link's thread."""
        ...

    def name_of(self, command: wire.CommandBody, /) -> str:
        """The task name that stands in the message of the command's task, by the broker or by what
        runs here; empty where none is found. Asked on hosts that allow some tasks only."""
        ...

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        """Carries out a verified and permitted command, on the runner's thread.

        `call` is the opened sealed call of a retry, else empty. Raises `CommandRefused` when it
        cannot or must not be done; anything else that it raises is reported as `error`.
        """
        ...
