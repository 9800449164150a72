# SPDX-License-Identifier: AGPL-3.0-only
"""Real RQ workers with the agent attached, and what Redis says of their queues."""

import secrets
import sys
from pathlib import Path

from redis import Redis
from rq import Queue
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import AGENT, REPOSITORY, started

from queuedeck.demo.children import start

ALLOW = "observe,retry,cancel,pause,purge,worker"
READY = "Listening on"


class RqBroker:
    """A queue of RQ on the tests' Redis."""

    def __init__(self, url):
        self.url = url
        self.client = Redis.from_url(url)
        self.queue = f"q{secrets.token_hex(4)}"
        self._queue = Queue(self.queue, connection=self.client)

    def send(self, number):
        """So many jobs that do nothing, by a process without the agent. Returns their ids."""
        return [self._queue.enqueue("time.sleep", 0, job_timeout=60).id for _ in range(number)]

    def waiting(self):
        """Ids of the waiting jobs, as Redis has them."""
        return [one.decode() for one in self.client.lrange(f"rq:queue:{self.queue}", 0, -1)]

    def finished(self, ids):
        """How many of these jobs have run, as RQ itself says."""
        return sum(self.client.hget(f"rq:job:{one}", "status") == b"finished" for one in ids)

    def close(self):
        self.client.close()


def start_rq_worker(folder, broker, dsn, name="rq1"):
    """`queuedeck-agent run -- rq worker`; its log is `<folder>/<name>.log`."""
    program = str(Path(sys.executable).parent / "rq")
    worker = start(
        name,
        [
            *AGENT,
            program,
            "worker",
            "--url",
            broker.url,
            "--name",
            f"{name}-{broker.queue}",
            broker.queue,
        ],
        folder,
        {
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "QUEUEDECK_DSN": dsn,
            "QUEUEDECK_SPOOL": str(folder / "spool-rq"),
            "QUEUEDECK_ALLOW": ALLOW,
        },
    )
    started.append(worker)
    eventually(lambda: worker.check() or READY in worker.log.read_text(), 40)
    return worker
