# SPDX-License-Identifier: AGPL-3.0-only
"""How taskiq does what behaviours ask for, on a list in Redis."""

import asyncio
import importlib.metadata
import json
import pickle
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import redis
from tests.conformance import taskiq_app
from tests.conformance.harness import BROKER, Call, Harness

from queuedeck_agent.engines.taskiq import boot as taskiq_boot
from queuedeck_agent.engines.taskiq import source as taskiq_source
from queuedeck_agent.engines.taskiq.adapter import TaskiqEngine

_LISTENS = "Listening started"
_NO_LOST = "taskiq tells nobody that a process died, and a list keeps nothing of what it gave out."


class TaskiqHarness(Harness):
    engine = "taskiq"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "taskiq has no retry from outside: the original call is "
        "sent again under a new id.",
        "call_sealed_by_the_sender": "As for every retry: a new id.",
        "cancelled_from_the_dashboard": "taskiq has no cancel: the agent takes the message out of "
        "the list; one that a worker holds is skipped when its turn comes.",
        "cancelled_task_never_starts": "taskiq has no cancel: the agent takes the message out of "
        "the list, and workers with the agent on that host skip one that they hold.",
    }
    impossible: ClassVar[dict[str, str]] = {
        "scheduled": "The brokers of Redis send at once. A task for later is in a schedule source, "
        "and is seen when the scheduler sends it.",
        "expired": "taskiq has no expiry.",
        "cancelled_by_the_application": "taskiq has no means to cancel a task.",
        "running_task_is_left_alone": "Only the process that runs it knows. A cancel from another "
        "one is remembered: it stops no running task, and a retry that follows is skipped.",
        "terminated": "Not from another process: taskiq has no means to reach the one that runs "
        "the task. The agent there can, see the verb `terminate`.",
        "linked_to_what_it_waits_for": "taskiq has no chains.",
        "killed_in_the_middle_of_a_task": _NO_LOST,
        "lost_with_the_whole_worker": _NO_LOST,
    }
    prelude = "from tests.conformance import taskiq_app as t"

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__(folder, environment)
        self.other_queue = f"{self.queue}-other"
        self.environment["TEST_OTHER_QUEUE"] = self.other_queue
        self._listened = 0

    @staticmethod
    def version() -> str:
        return importlib.metadata.version("taskiq")

    def command(self) -> list[str]:
        app = "tests.conformance.taskiq_app:broker"
        return [sys.executable, "-m", "taskiq", "worker", app, "-w", "1"]

    def start(self, attached: bool = True) -> Harness:
        self._listened = self.text.count(_LISTENS) if self.log.exists() else 0
        return super().start(attached)

    def is_ready(self) -> bool:
        """For both queues."""
        return self.text.count(_LISTENS) >= self._listened + 2

    def sending(self, one: Call) -> str:
        what = f"{one.name!r}, {one.args!r}, {one.kwargs!r}, {one.limit}"
        return f"t.send({self.queue!r}, {what})"

    def sending_after(self, first: Call, second: Call) -> str:
        raise NotImplementedError

    def running_eagerly(self, one: Call) -> str:
        return f"t.eager({one.name!r}, {one.args!r})"

    def waiting(self) -> set[str]:
        return {json.loads(one)["task_id"] for one in self.redis.lrange(self.queue, 0, -1)}

    def queue_length(self, queue: str | None = None) -> int:
        found: Any = self.redis.llen(queue or self.queue)
        return int(found)

    def result(self, task_id: str) -> Any:
        stored = self._stored(task_id)
        return None if stored is None or stored["is_err"] else stored["return_value"]

    def failure(self, task_id: str) -> str:
        """taskiq keeps no traceback, only what was raised."""
        stored = self._stored(task_id)
        return repr(stored["error"]) if stored is not None and stored["is_err"] else ""

    def cancelling(self, task: str) -> str:
        raise NotImplementedError

    def adapter(self) -> TaskiqEngine:
        return _Attached(self.queue)

    def _stored(self, task_id: str) -> dict[str, Any] | None:
        client = redis.Redis.from_url(BROKER)
        data = client.get(f"{self.queue}:{task_id}")
        client.close()
        return pickle.loads(data) if data else None


class _Attached(TaskiqEngine):
    """For commands: with the hooks of sending, in a broker and an event loop of its own."""

    def __init__(self, queue: str) -> None:
        self.own = taskiq_app.make(queue)
        super().__init__(taskiq_source.find_source(self.own))

    def attach(self, agent: Any) -> None:
        super().attach(agent)
        boot = taskiq_boot.follow(self.own, lambda: agent)
        assert boot is not None
        boot.line = self.line = self.add(agent, self.own, "producer")
        self.loop = self.line.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def detach(self) -> None:
        super().detach()
        asyncio.run_coroutine_threadsafe(self.own.shutdown(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
