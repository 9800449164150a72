# SPDX-License-Identifier: AGPL-3.0-only
"""A real worker of each engine with the agent attached, on a queue of its own."""

import json
import secrets
import sys
from pathlib import Path

from redis import Redis
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import AGENT, REPOSITORY, started

from queuedeck.demo.children import start

PLACE = "tests.support.everywhere"
COMMANDS = {
    "celery": ["celery", "-A", f"{PLACE}.celery_app", "worker", "-c", "1", "--without-mingle"],
    "rq": ["rq", "worker", "--url", "{broker}", "{queue}"],
    "dramatiq": ["dramatiq", f"{PLACE}.dramatiq_app", "-p", "1", "-t", "1"],
    "huey": ["huey_consumer", f"{PLACE}.huey_app.huey", "-w", "1"],
    "arq": ["arq", f"{PLACE}.arq_app.Worker"],
    "taskiq": ["taskiq", "worker", f"{PLACE}.taskiq_app:broker", "-w", "1"],
}


class Shop:
    """The application of one engine. `by_hand`: it attaches itself, and nothing else does."""

    def __init__(self, engine, url, folder, dsn, by_hand=False):
        self.engine = engine
        self.queue = f"{engine}{secrets.token_hex(4)}"
        self.client = Redis.from_url(url, decode_responses=True)
        self._folder = folder
        self._environment = {
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "C_FORCE_ROOT": "1",
            "QUEUEDECK_DSN": dsn,
            "QUEUEDECK_SPOOL": str(folder / f"spool-{engine}"),
            "QUEUEDECK_ALLOW": "observe,retry,cancel,pause,submit,terminate,move,priority",
            "EVERYWHERE_BROKER": url,
            "EVERYWHERE_QUEUE": self.queue,
        }
        self._launcher = [] if by_hand else AGENT
        if by_hand:
            self._environment["EVERYWHERE_ATTACH"] = "1"
        filled = [word.format(broker=url, queue=self.queue) for word in COMMANDS[engine]]
        if by_hand and engine == "rq":
            filled[2:2] = ["--config", f"{PLACE}.charge"]  # else RQ imports it with the first job
        program = str(Path(sys.executable).with_name(filled[0]))
        self.worker = self._start(engine, program, *filled[1:])

    def send(self, order, password):
        """By a process of its own; returns when that has ended."""
        code = f"from {PLACE}.{self.engine}_app import send; send({order}, {password!r})"
        sender = self._start(f"{self.engine}-sender", sys.executable, "-c", code)
        eventually(lambda: not sender.is_running(), 60)

    def told(self):
        """What the task itself noted of each run, oldest first."""
        return [json.loads(line) for line in self.client.lrange(f"{self.queue}:told", 0, -1)]

    def stop(self):
        self.worker.stop()
        for key in self.client.scan_iter(f"*{self.queue}*", count=1000):
            self.client.delete(key)
        self.client.close()

    def _start(self, name, *command):
        made = start(name, [*self._launcher, *command], self._folder, self._environment)
        started.append(made)
        return made
