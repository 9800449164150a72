# SPDX-License-Identifier: AGPL-3.0-only
"""Huey with worker processes, by the list of behaviours."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import huey
import pytest
from tests.conformance import huey_app
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.harness import POOL, Call, Difference, Harness
from tests.conformance.verbs import *  # noqa: F403

from queuedeck_agent import wire
from queuedeck_agent.engines.huey.adapter import HueyEngine
from queuedeck_agent.engines.huey.boot import Boot
from queuedeck_agent.engines.huey.source import find_source

pytestmark = pytest.mark.engine

_NO_STOP = "Huey cannot stop a task that runs, nor tell whether one does: see its page."


class HueyHarness(Harness):
    engine = "huey"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "Huey has no retry from outside: the original call is sent "
        "again under a new id.",
        "call_sealed_by_the_sender": "As for every retry: a new id.",
        "cancelled_from_the_dashboard": "Huey only marks a task as revoked; its message is taken "
        "out of Redis and SQLite as well.",
        "cancelled_task_never_starts": "Huey only marks a task as revoked; its message is taken "
        "out of Redis and SQLite as well.",
        "waiting_time": "Huey's messages have no time: ours travels behind the pickled message.",
    }
    impossible: ClassVar[dict[str, str]] = {
        "lost_with_the_whole_worker": "Huey takes a message before it runs the task and keeps no "
        "list of what runs: when the whole consumer is killed, nobody but the agent's silence "
        "tells.",
        "running_task_is_left_alone": _NO_STOP,
        "terminated": _NO_STOP,
    }
    differences = (
        Difference(("timed_out",), "Huey has time limits since 3.0.", versions="<3.0"),
        Difference(
            ("killed_in_the_middle_of_a_task",),
            "Greenlets run in the consumer's own process: what kills one kills all, and then "
            "nobody but the agent's silence tells.",
            pools=("greenlet",),
        ),
    )
    exits_as = wire.TaskLost
    prelude = "from tests.conformance import huey_app as t"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.app = huey_app.application(self.queue)

    @staticmethod
    def version() -> str:
        return huey.__version__

    def command(self) -> list[str]:
        consumer = str(Path(sys.executable).with_name("huey_consumer"))
        if POOL == "greenlet":
            consumer = str(Path(huey_app.__file__).with_name("huey_greenlets.py"))
        options = ["-k", POOL or "process", "-w", "2", "-c", "1", "-d", "0.05"]
        return [sys.executable, consumer, "tests.conformance.huey_app.huey", *options]

    def is_ready(self) -> bool:
        return "commands are available" in self.text

    def sending(self, one: Call) -> str:
        given = {"delay": one.delay, "timeout": one.limit, "expires": one.expires}
        options = {name: value for name, value in given.items() if value}
        return f"t.send({self._app}, {one.name!r}, {one.args!r}, {one.kwargs!r}, **{options!r})"

    def sending_after(self, first: Call, second: Call) -> str:
        calls = ((first.name, first.args, {}), (second.name, (*second.args,), {}))
        return f"t.send_after({self._app}, {calls[0]!r}, {calls[1]!r})"

    def running_eagerly(self, one: Call) -> str:
        return f"t.eager({self._app}, {one.name!r}, {one.args!r})"

    def waiting(self) -> set[str]:
        return {task.id for task in self.app.pending()}

    def queue_length(self, queue: str | None = None) -> int:
        return int(self.redis.llen(f"huey.redis.{queue or self.queue}"))

    def result(self, task_id: str) -> Any:
        found = self.app.get(task_id, peek=True)
        return None if hasattr(found, "metadata") else found

    def failure(self, task_id: str) -> str:
        """Up to 2.5.3 what Huey stores as the traceback is empty."""
        found = self.app.get(task_id, peek=True)
        if not hasattr(found, "metadata"):
            return ""
        return f"{found.metadata['traceback']}\n{found.metadata['error']}"

    def cancelling(self, task: str) -> str:
        return f"{self._app}.revoke_by_id({task})"

    def adapter(self) -> HueyEngine:
        return _Commanding(self.app)

    @property
    def _app(self) -> str:
        return f"t.application({self.queue!r})"


class _Commanding(HueyEngine):
    """For commands: what it sends itself is reported; other code of this process is not."""

    def __init__(self, app: Any) -> None:
        super().__init__(find_source(app.storage))
        self.app = app
        self.boot: Boot | None = None

    def attach(self, agent: Any) -> None:
        super().attach(agent)
        self.add(self.app)

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        assert self.publishing is not None
        self.boot = Boot(lambda: self.publishing.agent if self.publishing else None)
        self.boot.connect()
        self.boot.adopt(self.app, self)
        try:
            return super().execute(command, call)
        finally:
            self.boot.disconnect()
            self.add(self.app)


HARNESS = HueyHarness
