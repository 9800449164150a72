# SPDX-License-Identifier: AGPL-3.0-only
"""A real arq worker, with the agent attached as an operator would attach it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import huey_worker
from tests.support.celery_worker import eventually

ARQ = Path(sys.executable).with_name("arq")
MakeWorker = Callable[..., "Worker"]


class Worker(huey_worker.Worker):
    """One worker with a queue and a spool of its own."""

    module = "tests.support.arq_tasks"

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, **environment)
        self.sent: list[str] = []

    def start(self, *options: str, attached: bool = True) -> "Worker":
        """Starts it, and waits until it is ready."""
        before = self.text.count("Starting worker") if self.log.exists() else 0
        run = ["-m", "queuedeck_agent.cli", "run", "--", sys.executable] if attached else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *run, str(ARQ), f"{self.module}.WorkerSettings", *options],
                env=self.env(attached), stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        eventually(lambda: self.text.count("redis_version") > before, 30)
        return self

    def attached(self, expression: str) -> Any:
        """Sends from a process with the agent; gives the expression's value, mostly an id."""
        return self._kept(super().attached(expression))

    def send(self, expression: str) -> Any:
        """Sends from a process without the agent."""
        return self._kept(super().send(expression))

    def close(self) -> None:
        for job_id in self.sent:
            keys = (f"arq:{kind}:{job_id}" for kind in ("job", "result", "retry", "in-progress"))
            self.redis.delete(*keys)
        super().close()

    def _kept(self, value: Any) -> Any:
        if isinstance(value, str):
            self.sent.append(value)
        return value
