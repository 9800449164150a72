# SPDX-License-Identifier: AGPL-3.0-only
"""What the mixed load needs to know of each engine: what follows a kill, and which word the
engine's own store has for each end. Where that differs from ours, the engine's page says so."""

import sys
from typing import Any, ClassVar

from arq.constants import in_progress_key_prefix
from dramatiq.message import Message
from dramatiq.results import ResultFailure, ResultMissing
from rq.exceptions import NoSuchJobError
from rq.job import Job
from tests.conformance.dramatiq_harness import DramatiqHarness
from tests.conformance.harness import TASKS, Harness
from tests.conformance.rq_harness import RqHarness
from tests.conformance.taskiq_harness import TaskiqHarness
from tests.conformance.test_arq import ArqHarness
from tests.conformance.test_celery import CeleryHarness
from tests.conformance.test_huey import HueyHarness

NOTHING = "nothing"


class Mixed(Harness):
    """A harness whose worker reports to a real server."""

    dsn = ""
    after_kill: ClassVar[str]
    """The state of a task whose process was killed in the middle."""
    dies_alone: ClassVar[bool] = True
    """Its process runs nothing else, and another one is started for it."""
    cancels: ClassVar[bool] = True
    """The engine itself can cancel a task that waits."""
    delays: ClassVar[bool] = True
    """A task may be sent for later."""
    words: ClassVar[dict[str, tuple[str, ...]]]
    """State -> the engine's own word for it, or words."""
    after_kill_word: ClassVar[str]
    """What the engine's own store says of a killed task."""

    def env(self, attached: bool = True) -> dict[str, str]:
        return {**super().env(attached), "QUEUEDECK_DSN": self.dsn if attached else ""}

    def word(self, task: str, task_id: str) -> str:
        """What the engine's own store says of a task, without taking it out of there."""
        raise NotImplementedError

    def age(self, task_id: str) -> None:
        """Makes the engine's own mark of a running task old, where it would wait for minutes."""

    def after_death(self, task_id: str) -> None:
        """What an operator does: starts the worker again if nobody else does."""

    def revive(self) -> None:
        assert self.process is not None
        self.process.wait(20)
        self.start()


class CeleryMixed(Mixed, CeleryHarness):
    after_kill = "lost"
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("SUCCESS",),
        "failed": ("FAILURE",),
        "cancelled": ("REVOKED",),
    }
    after_kill_word = "FAILURE"

    def word(self, task: str, task_id: str) -> str:
        return self._stored(task_id).get("status", NOTHING)


class RqMixed(Mixed, RqHarness):
    after_kill = "lost"
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("finished",),
        "failed": ("failed",),
        "cancelled": ("canceled",),
    }
    after_kill_word = "failed"

    def word(self, task: str, task_id: str) -> str:
        try:
            return Job.fetch(task_id, connection=self.client).get_status().value
        except NoSuchJobError:
            return NOTHING


class HueyMixed(Mixed, HueyHarness):
    after_kill = "lost"
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("result",),
        "failed": ("error",),
        "cancelled": (NOTHING,),
    }
    after_kill_word = NOTHING

    def word(self, task: str, task_id: str) -> str:
        found = self.app.get(task_id, peek=True)
        if found is None:
            return NOTHING
        return "error" if hasattr(found, "metadata") else "result"


class DramatiqMixed(Mixed, DramatiqHarness):
    after_kill = "succeeded"
    dies_alone = False
    cancels = False
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("result",),
        "failed": ("failure",),
        "cancelled": ("result", NOTHING),
    }
    after_kill_word = "result"

    def command(self) -> list[str]:
        app = "tests.mixed.dramatiq_app"
        return [sys.executable, "-m", "dramatiq", app, "-p", "1", "-t", "4"]

    def word(self, task: str, task_id: str) -> str:
        message: Any = Message(self.queue, f"{TASKS}.{task}", (), {}, {}, task_id)
        try:
            self.results.get_result(message)
        except ResultFailure:
            return "failure"
        except ResultMissing:
            return NOTHING
        return "result"

    def after_death(self, task_id: str) -> None:
        """Dramatiq ends when one of its processes has died."""
        self.revive()


class ArqMixed(Mixed, ArqHarness):
    after_kill = "succeeded"
    dies_alone = False
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("success",),
        "failed": ("failure",),
        "cancelled": ("failure",),
    }
    after_kill_word = "success"

    def word(self, task: str, task_id: str) -> str:
        from tests.conformance import arq_app

        found = arq_app.info(self.queue, task_id)
        if found is None:
            return NOTHING
        return "success" if found.success else "failure"

    def age(self, task_id: str) -> None:
        """The mark in Redis would stand for the longest time limit and ten seconds."""
        self.redis.pexpire(in_progress_key_prefix + task_id, 500)

    def after_death(self, task_id: str) -> None:
        self.age(task_id)
        self.revive()


class TaskiqMixed(Mixed, TaskiqHarness):
    after_kill = "lost"
    dies_alone = False
    cancels = False
    delays = False
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "succeeded": ("result",),
        "failed": ("error",),
        "cancelled": (NOTHING,),
    }
    after_kill_word = NOTHING

    def command(self) -> list[str]:
        return [*super().command(), "--max-async-tasks", "4"]

    def word(self, task: str, task_id: str) -> str:
        stored = self._stored(task_id)
        if stored is None:
            return NOTHING
        return "error" if stored["is_err"] else "result"


ENGINES: dict[str, type[Mixed]] = {
    "celery": CeleryMixed,
    "rq": RqMixed,
    "dramatiq": DramatiqMixed,
    "huey": HueyMixed,
    "arq": ArqMixed,
    "taskiq": TaskiqMixed,
}
