# SPDX-License-Identifier: AGPL-3.0-only
"""How RQ does what behaviours ask for. Also used by the tests of what only RQ has."""

import sys
from typing import Any, ClassVar

import rq.version
from redis import Redis
from rq.job import Job
from tests.conformance.harness import BROKER, Call, Harness, call

from queuedeck_agent.engines.rq.adapter import RqEngine


class RqHarness(Harness):
    engine = "rq"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "RQ's own requeue runs the job under its old id and forgets "
        "the first run: the original call is enqueued under a new id instead.",
        "call_sealed_by_the_sender": "As for every retry: a new id.",
    }
    urgent = 1
    prelude = "from tests.conformance import rq_tasks as t"
    options: ClassVar[tuple[str, ...]] = ("worker", "--with-scheduler")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.client = Redis.from_url(BROKER)
        self.submits_to = self.queue
        # All tasks, and these by name: only such may be submitted before they were ever sent.
        self.environment.setdefault("QUEUEDECK_ALLOW_TASKS", "*,tests.*")

    @staticmethod
    def version() -> str:
        return rq.version.VERSION

    def command(self) -> list[str]:
        place = ["--url", BROKER, "--path", ".", *self.queues]
        return [sys.executable, "-m", "rq.cli", *self.options, *place]

    @property
    def queues(self) -> list[str]:
        return [self.queue, self.other_queue] if self.other_queue else [self.queue]

    def is_ready(self) -> bool:
        return "subscribing to channel" in self.text.lower()

    def sending(self, one: Call) -> str:
        return (
            f"t.send({self.queue!r}, {one.name!r}, {one.args!r}, {one.kwargs!r}, {_more(one)}).id"
        )

    def sending_after(self, first: Call, second: Call) -> str:
        before = self.sending(first).removesuffix(".id")
        second = Call(second.task, (*second.args, 1))
        after = self.sending(second).replace(", 0)", ", 0, depends_on=job)")
        return f"(lambda job: job.id + ' ' + {after})({before})"

    def running_eagerly(self, one: Call) -> str:
        return f"t.eager({self.queue!r}, {one.name!r}, {one.args!r})"

    def waiting(self) -> set[str]:
        return set(self.redis.lrange(f"rq:queue:{self.queue}", 0, -1))

    def queue_length(self, queue: str | None = None) -> int:
        return int(self.redis.llen(f"rq:queue:{queue or self.queue}"))

    def priority_of(self, task_id: str) -> int:
        return int(self.redis.lindex(f"rq:queue:{self.queue}", 0) == task_id)

    def dead(self) -> set[str]:
        return set(self.redis.zrange(f"rq:failed:{self.queue}", 0, -1))

    def make_dead(self) -> str:
        return self.send(call("fail", "x"))

    def result(self, task_id: str) -> Any:
        job = Job.fetch(task_id, connection=self.client)
        return job.return_value() if job.get_status() == "finished" else None

    def failure(self, task_id: str) -> str:
        job = Job.fetch(task_id, connection=self.client)
        found = job.latest_result() if job.get_status() == "failed" else None
        return (found.exc_string or "") if found is not None else ""

    def cancelling(self, task: str) -> str:
        return f"t.cancel({task})"

    def adapter(self) -> RqEngine:
        return RqEngine(self.client, "producer")

    def age_the_dead(self) -> None:
        """RQ gives a started job up when nobody has renewed it for more than a minute."""
        registry = f"rq:wip:{self.queue}"
        for member in self.redis.zrange(registry, 0, -1):
            self.redis.zadd(registry, {member: 1})

    def clean_up(self) -> None:
        for name in self.redis.scan_iter("rq:job:*", count=1000):
            if self.redis.type(name) == "hash" and self.redis.hget(name, "origin") in self.queues:
                self.redis.delete(name, name.replace("rq:job:", "rq:results:"))
        self.redis.srem("rq:queues", *(f"rq:queue:{name}" for name in self.queues))
        self.client.close()


def _more(one: Call) -> str:
    return f"{one.delay}, {one.limit}, {one.expires}"
