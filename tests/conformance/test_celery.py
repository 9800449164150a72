# SPDX-License-Identifier: AGPL-3.0-only
"""Celery with its prefork pool, by the list of behaviours."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import celery
import pytest
from celery import Celery
from tests.conformance import tasks
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.harness import (
    BROKER,
    BROKER_NAME,
    POOL,
    QUEUES,
    Call,
    Difference,
    Harness,
    call,
    eventually,
    key,
)
from tests.conformance.verbs import *  # noqa: F403

from queuedeck_agent import wire
from queuedeck_agent.engines.celery.adapter import CeleryEngine
from queuedeck_agent.engines.versions import within

pytestmark = pytest.mark.engine


GREEN = ("gevent", "eventlet")
_ONE_PROCESS = (
    "Greenlets run in the worker's own process: what kills one kills all, and then nobody but the "
    "agent's silence tells."
)


class CeleryHarness(Harness):
    engine = "celery"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "Celery has no retry from outside: the original call is "
        "sent again under a new id.",
        "call_sealed_by_the_sender": "As for every retry: a new id.",
    }
    impossible: ClassVar[dict[str, str]] = {
        "lost_with_the_whole_worker": "Celery acknowledges a task before it runs and keeps no list "
        "of what runs: when the whole worker is killed, nobody but the agent's silence tells.",
    }
    differences = (
        Difference(
            ("cancelled_from_the_dashboard",),
            "RabbitMQ gives nobody a single message out of a queue: the task is revoked, and "
            "workers drop it when its turn comes.",
            broker="rabbitmq",
        ),
        Difference(
            ("cancelled_task_never_starts",),
            "It is revoked: a worker drops it when its turn comes. Workers with the agent on that "
            "host remember it over a restart.",
            "emulated",
            "rabbitmq",
        ),
        Difference(
            ("expired",),
            "Celery tells RabbitMQ when a message expires: RabbitMQ throws it away then, and tells "
            "nobody. One that a worker holds by then is seen to expire, as on Redis.",
            broker="rabbitmq",
        ),
        Difference(("killed_in_the_middle_of_a_task",), _ONE_PROCESS, pools=GREEN),
        Difference(
            ("terminated",),
            "Celery's pool of gevent can stop a running task since 5.3.",
            versions="<5.3",
            pools=("gevent",),
        ),
        Difference(
            ("timed_out",),
            "Celery's pool of eventlet enforces no time limits.",
            pools=("eventlet",),
        ),
    )
    exits_as = wire.TaskLost
    urgent = 0 if BROKER_NAME == "redis" else 9
    prelude = "from tests.conformance import celery_app as t"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.client = Celery("client", broker=QUEUES, backend=BROKER)
        self.client.conf.task_default_queue = self.queue
        # So that the adapter knows what its parameters are called.
        self.client.task(name=call("login").name)(tasks.login)
        self.other_queue = f"{self.queue}-other"
        self.client.amqp.queues.add(self.other_queue)

    @staticmethod
    def version() -> str:
        return celery.__version__

    def command(self) -> list[str]:
        options = ["-c", "2", "-l", "info", "-n", f"{self.queue}@%h"]
        quiet = ["--without-mingle", "--without-gossip", "-Q", f"{self.queue},{self.other_queue}"]
        app = ["-A", "tests.conformance.celery_app"]
        options += ["-P", POOL] if POOL else []
        program = str(Path(sys.executable).with_name("celery"))
        return [sys.executable, program, *app, "worker", *options, *quiet]

    def is_ready(self) -> bool:
        return " ready." in self.text

    def sending(self, one: Call) -> str:
        return f"{self._signature(one)}.delay().id"

    def sending_after(self, first: Call, second: Call) -> str:
        links = f"{self._signature(first)} | {self._signature(second)}"
        return f"(lambda last: last.parent.id + ' ' + last.id)(({links}).delay())"

    def running_eagerly(self, one: Call) -> str:
        return f"{self._signature(one)}.apply().get()"

    def waiting(self) -> set[str]:
        if BROKER_NAME == "rabbitmq":
            with self.client.connection_for_read() as connection:
                return set(looked_at(connection.default_channel, self.queue))
        return {one["headers"]["id"] for one in self._messages()}

    def queue_length(self, queue: str | None = None) -> int:
        with self.client.connection_for_read() as connection:
            try:
                told = connection.default_channel.queue_declare(queue or self.queue, passive=True)
            except connection.channel_errors:
                return 0  # nobody has declared it
        return int(told.message_count)

    def priority_of(self, task_id: str) -> int:
        found = [one for one in self._messages() if one["headers"]["id"] == task_id]
        ((_, priority),) = [(one, one["properties"]["priority"]) for one in found]
        return int(priority)

    def slots(self) -> int:
        if POOL == "gevent" and within(self.version(), "<5.3"):
            return self._at_once()  # it goes on to report the size that the pool had at first
        name = self.said[1].worker
        pool = self.client.control.inspect([name], timeout=5).stats()[name]["pool"]
        return len(pool["processes"]) if "processes" in pool else int(pool["max-concurrency"])

    def _at_once(self) -> int:
        """How many of some tasks run at the same time, by their own word."""
        name = key()
        ids = [self.send(call("sleep", name, 1.5)) for _ in range(6)]
        eventually(lambda: self.told("sleeps", name))
        time.sleep(1)
        begun = len(self.told("sleeps", name))
        eventually(lambda: len(self.told("slept", name)) == len(ids))
        return begun

    def result(self, task_id: str) -> Any:
        return self._stored(task_id).get("result")

    def failure(self, task_id: str) -> str:
        return self._stored(task_id).get("traceback") or ""

    def cancelling(self, task: str) -> str:
        return f"t.app.control.revoke({task})"

    def adapter(self) -> CeleryEngine:
        return _Silent(self.client, "producer")

    def clean_up(self) -> None:
        if BROKER_NAME == "rabbitmq":
            with self.client.connection_for_write() as connection:
                connection.default_channel.queue_delete(self.queue)
                connection.default_channel.queue_delete(self.other_queue)
                connection.default_channel.exchange_delete(self.queue)
                connection.default_channel.exchange_delete(self.other_queue)
        self.client.close()

    def _signature(self, one: Call) -> str:
        options = {
            "countdown": one.delay or None,
            # Greenlets know the hard one only.
            "time_limit" if POOL in GREEN else "soft_time_limit": one.limit or None,
            "expires": one.expires or None,
        }
        given = {name: value for name, value in options.items() if value}
        return f"t.call({self.queue!r}, {one.name!r}, {one.args!r}, {one.kwargs!r}, **{given!r})"

    def _messages(self) -> list[dict[str, Any]]:
        """What waits on Redis, in the list of every step of priority."""
        steps = ("", *(f"\x06\x16{step}" for step in (3, 6, 9)))
        lists = [self.redis.lrange(f"{self.queue}{step}", 0, -1) for step in steps]
        return [json.loads(one) for messages in lists for one in messages]

    def _stored(self, task_id: str) -> dict[str, Any]:
        return json.loads(self.redis.get(f"celery-task-meta-{task_id}") or "{}")


def looked_at(channel: Any, queue: str) -> Iterator[str]:
    """Ids of the messages in a queue of RabbitMQ, which go back to their places."""
    taken = []
    while (message := channel.basic_get(queue)) is not None:
        taken.append(message.delivery_tag)
        yield str(message.headers["id"])
    for tag in reversed(taken):
        channel.basic_reject(tag, requeue=True)


class _Silent(CeleryEngine):
    """For commands: this process sends as one without an agent."""

    def attach(self, agent: Any) -> None:
        super().attach(agent)
        self.detach()


HARNESS = CeleryHarness
