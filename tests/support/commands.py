# SPDX-License-Identifier: AGPL-3.0-only
"""What tests of commands work with: real stores, tasks in any state, agents that are structs."""

import itertools

import msgspec
from tests.support.control import KEYRING

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.history.batches import Batch
from queuedeck.live import Live
from queuedeck_agent import wire

SOURCE = "5eed5eed5eed"
SEAL_ID = "0a1b2c3d"
SEALED = SEAL_ID.encode() + b"twelve bytes and the rest of it"
VERBS = ("retry", "cancel", "terminate")
ALLOW = ("observe", "retry", "cancel", "pause")


class Desk:
    """A `CommandDesk`; remembers which projects' commands changed."""

    def __init__(self, control, history, clock):
        self.control, self.history, self.clock = control, history, clock
        self.keyring, self.live = KEYRING, Live()
        self.registry = AgentRegistry(clock)
        self.woken = []
        self.commands_changed = self.woken.append
        self._lanes = itertools.count(1)

    async def record(self, project_id, *events):
        """Store events as an agent's lane would bring them."""
        seen = wire.SourceSeen(self.clock(), SOURCE, "celery", "redis://broker:6379/0")
        stored = [seen, *events]
        lane = f"{next(self._lanes):032x}"
        await self.history.record([Batch(project_id, lane, "a" * 32, 1, len(stored), stored)])

    async def task(self, project_id, state="failed", task_id="t1", sealed=SEALED):
        """A task in this state, and its detail."""
        at = self.clock()
        publish = wire.TaskPublished(at, SOURCE, task_id, 1, "shop.pay", "mail", sealed=sealed)
        await self.record(project_id, publish, *events_to(state, at + 1, task_id))
        return await self.history.find_task(project_id, "celery", task_id)

    def connect(self, project_id, **changes):
        """An agent that serves the source and allows what agents allow unless told otherwise."""
        said = hello(**changes)
        return self.registry.connect(project_id, said, lambda _message: None)


def events_to(state, at, task_id):
    started = wire.TaskStarted(at, SOURCE, task_id, 1, "shop.pay", "celery@host")
    ends = {
        "succeeded": wire.TaskSucceeded(at + 1, SOURCE, task_id, 1, 1),
        "failed": wire.TaskFailed(at + 1, SOURCE, task_id, 1, "ValueError"),
        "retrying": wire.TaskRetrying(at + 1, SOURCE, task_id, 1, "ValueError"),
        "cancelled": wire.TaskCancelled(at + 1, SOURCE, task_id, 1),
        "lost": wire.TaskLost(at + 1, SOURCE, task_id, 1),
    }
    if state == "queued":
        return []
    return [started] if state == "running" else [started, ends[state]]


def hello(agent_id="b" * 32, source=SOURCE, verbs=VERBS, allow=ALLOW, seal_ids=(SEAL_ID,), **more):
    abilities = tuple(wire.Capability(verb, "native") for verb in verbs)
    engine = wire.EngineInfo(
        "celery", "5.6", source, "worker", worker="celery@host", capabilities=abilities
    )
    said = wire.Hello(
        agent_id, "0.1.0", "host", 42, b"n" * 16, engines=(engine,), allow=allow, seal_ids=seal_ids
    )
    return msgspec.structs.replace(said, **more)
