# SPDX-License-Identifier: AGPL-3.0-only
"""arq, by the list of behaviours."""

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import arq
import pytest
from arq import constants
from tests.conformance import arq_app
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.harness import Call, Harness, eventually
from tests.conformance.verbs import *  # noqa: F403

from queuedeck_agent import wire
from queuedeck_agent.engines import sources
from queuedeck_agent.engines.arq.adapter import ArqEngine
from queuedeck_agent.engines.arq.boot import Boot
from queuedeck_agent.engines.arq.call import Functions

pytestmark = pytest.mark.engine

_NO_CHILD = "An arq worker is one process: what ends that ends all of it."


class ArqHarness(Harness):
    engine = "arq"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "arq has no retry from outside: the original call is sent "
        "again under a new id.",
        "call_sealed_by_the_sender": "As for every retry: a new id.",
        "cancelled_from_the_dashboard": "arq's abort needs a worker that allows it; the job is "
        "taken out of its queue instead.",
        "cancelled_task_never_starts": "arq's abort needs a worker that allows it; the job is "
        "taken out of its queue instead.",
        "retried_by_the_engine": "arq runs a job again when it raises `Retry`, not for exceptions.",
        "terminated": "The worker asks the job to stop, as arq's own abort does.",
    }
    impossible: ClassVar[dict[str, str]] = {
        "exit_in_a_task": f"{_NO_CHILD} arq runs the job again when its mark in Redis expires.",
        "killed_in_the_middle_of_a_task": f"{_NO_CHILD} arq runs the job again when its mark in "
        "Redis expires, 310 s after its start by default: then it is another attempt.",
        "lost_with_the_whole_worker": "arq runs the job again, as another attempt; nothing tells "
        "that the first one has ended.",
        "linked_to_what_it_waits_for": "arq has no jobs that wait for others.",
        "eager_mode": "arq has no eager mode.",
    }
    prelude = "from tests.conformance import arq_app as t"

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__(folder, environment)
        self.other_queue = f"{self.queue}-other"
        self.environment["TEST_OTHER_QUEUE"] = self.other_queue

    @staticmethod
    def version() -> str:
        return arq.VERSION

    def command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("arq"))
        return [sys.executable, program, "tests.conformance.arq_app.WorkerSettings"]

    def is_ready(self) -> bool:
        return "redis_version" in self.text

    def stop(self) -> int:
        """arq ends with 1 when the signal meets a job that has stored its result and not yet
        returned, with an agent or without; nothing outside tells when it has returned."""
        time.sleep(0.5)
        return super().stop()

    def sending(self, one: Call) -> str:
        given = {"defer_by": one.delay, "limit": one.limit, "expires": one.expires}
        options = {name: value for name, value in given.items() if value}
        return f"t.send({self.queue!r}, {one.name!r}, {one.args!r}, {one.kwargs!r}, **{options!r})"

    def sending_after(self, first: Call, second: Call) -> str:
        raise NotImplementedError(self.impossible["linked_to_what_it_waits_for"])

    def running_eagerly(self, one: Call) -> str:
        raise NotImplementedError(self.impossible["eager_mode"])

    def waiting(self) -> set[str]:
        found: Any = self.redis.zrange(self.queue, 0, -1)
        return set(found)

    def queue_length(self, queue: str | None = None) -> int:
        """A job stays in its queue while it runs."""
        found: Any = self.redis.zrange(queue or self.queue, 0, -1)
        return sum(not self.redis.exists(constants.in_progress_key_prefix + one) for one in found)

    def slots(self) -> int:
        """A job asks the worker that runs it: nothing outside tells."""
        task_id = self.send(Call("slots"))
        return int(eventually(lambda: self.result(task_id)))

    def result(self, task_id: str) -> Any:
        found = arq_app.info(self.queue, task_id)
        return found.result if found is not None and found.success else None

    def failure(self, task_id: str) -> str:
        """arq keeps the exception, without its traceback."""
        found = arq_app.info(self.queue, task_id)
        return repr(found.result) if found is not None and not found.success else ""

    def cancelling(self, task: str) -> str:
        return f"t.cancel({self.queue!r}, {task})"

    def adapter(self) -> ArqEngine:
        return _Commanding(self.queue)

    def clean_up(self) -> None:
        others: Any = self.redis.zrange(self.other_queue, 0, -1)
        for job_id in self.waiting() | set(others):
            self.redis.delete(constants.job_key_prefix + job_id)


class _Commanding(ArqEngine):
    """For commands: an application of its own, with an event loop in a thread."""

    def __init__(self, queue: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.own = self._run(arq_app.connect(queue))
        functions = Functions()
        for one in arq_app.WorkerSettings.functions:  # it shares them with its workers
            functions.learn(one.name, one.coroutine)
        super().__init__(sources.name_source("arq", [sources.redis_url(self.own)]), functions)
        self.boot: Boot | None = None

    def attach(self, agent: Any) -> None:
        super().attach(agent)
        self.used(self.own, self.loop)
        self.boot = Boot(lambda: agent)
        self.boot.adopt(self.own, self)

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        assert self.boot is not None
        self.boot.connect()
        try:
            return super().execute(command, call)
        finally:
            self.boot.unpatch()

    def detach(self) -> None:
        self._run(arq_app.disconnect(self.own))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)


HARNESS = ArqHarness
