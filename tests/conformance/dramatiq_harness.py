# SPDX-License-Identifier: AGPL-3.0-only
"""How Dramatiq does what behaviours ask for."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import dramatiq
from dramatiq.message import Message
from dramatiq.results import ResultFailure, ResultMissing
from dramatiq.results.backends import RedisBackend
from tests.conformance import dramatiq_app
from tests.conformance.harness import (
    BROKER,
    BROKER_NAME,
    POOL,
    TASKS,
    Call,
    Difference,
    Harness,
    call,
    eventually,
)

from queuedeck_agent.engines.dramatiq import boot as dramatiq_boot
from queuedeck_agent.engines.dramatiq.adapter import DramatiqEngine

_NO_STOP = "A running message is a thread of its worker, which Python cannot stop."
_NO_LOST = (
    "Dramatiq tells nobody that a process died: Redis gives its messages out again after "
    "`heartbeat_timeout`, and that start is seen."
)


class DramatiqHarness(Harness):
    engine = "dramatiq"
    emulated: ClassVar[dict[str, str]] = {
        "retried_from_the_dashboard": "Dramatiq has no retry from outside: the original call is "
        "sent as a new message.",
        "call_sealed_by_the_sender": "As for every retry: a new message.",
        "cancelled_from_the_dashboard": "Dramatiq has no cancel: the agent takes the message out "
        "of Redis; one that a worker holds is skipped when its turn comes.",
        "cancelled_task_never_starts": "Dramatiq has no cancel: the agent takes the message out "
        "of Redis, and workers with the agent on that host skip one that they hold.",
    }
    impossible: ClassVar[dict[str, str]] = {
        "cancelled_by_the_application": "Dramatiq has no means to cancel a message.",
        "running_task_is_left_alone": "Only the process that runs it knows. A cancel from another "
        "one is remembered: it stops no running task, and a retry that follows is skipped.",
        "terminated": _NO_STOP,
        "killed_in_the_middle_of_a_task": _NO_LOST,
        "lost_with_the_whole_worker": _NO_LOST,
    }
    differences = (
        Difference(
            ("cancelled_from_the_dashboard",),
            "RabbitMQ gives nobody a single message out of a queue: it is skipped when its turn "
            "comes.",
            broker="rabbitmq",
        ),
        Difference(
            ("cancelled_task_never_starts",),
            "Workers with the agent on that host skip it when its turn comes.",
            "emulated",
            "rabbitmq",
        ),
        Difference(
            ("killed_in_the_middle_of_a_task", "lost_with_the_whole_worker"),
            "Dramatiq tells nobody that a process died: RabbitMQ gives its messages out again at "
            "once, and that start is seen.",
            broker="rabbitmq",
        ),
    )
    prelude = "from tests.conformance import dramatiq_app as t"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.client = dramatiq_app.connected(self.queue)
        self.other_queue = f"{self.queue}-other"
        self.results = RedisBackend(url=BROKER, namespace=f"{self.queue}-results")

    @staticmethod
    def version() -> str:
        return dramatiq.__version__

    def env(self, attached: bool = True) -> dict[str, str]:
        return {**super().env(attached), "dramatiq_worker_timeout": "100"}

    def command(self) -> list[str]:
        program = "dramatiq-gevent" if POOL == "gevent" else "dramatiq"
        command = str(Path(sys.executable).with_name(program))
        return [command, "tests.conformance.dramatiq_app", "-p", "1", "-t", "2"]

    def is_ready(self) -> bool:
        return "ready for action" in self.text

    def sending(self, one: Call) -> str:
        return f"t.send({self._message(one)}, {one.delay})"

    def sending_after(self, first: Call, second: Call) -> str:
        steps = f"{self._message(first)} | {self._message(second)}"
        return f"' '.join(one.message_id for one in ({steps}).run().messages)"

    def running_eagerly(self, one: Call) -> str:
        return f"t.actors[{one.name!r}](*{one.args!r})"

    def waiting(self) -> set[str]:
        if BROKER_NAME == "rabbitmq":
            raise NotImplementedError
        key = f"{self.queue}:{self.queue}"
        ids = self.redis.lrange(key, 0, -1)
        messages = self.redis.hmget(f"{key}.msgs", ids) if ids else []
        return {Message.decode(one.encode()).message_id for one in messages if one}

    def queue_length(self, queue: str | None = None) -> int:
        name = queue or self.queue
        if BROKER_NAME == "redis":
            return int(self.redis.llen(f"{self.queue}:{name}"))
        from pika.exceptions import ChannelClosedByBroker

        try:
            told = self.client.channel.queue_declare(name, passive=True)
        except ChannelClosedByBroker:  # nobody has declared it
            del self.client.channel
            return 0
        return int(told.method.message_count)

    def dead(self) -> set[str]:
        kept = self.redis.hvals(f"{self.queue}:{self.queue}.XQ.msgs")
        return {Message.decode(one.encode()).message_id for one in kept}

    def make_dead(self) -> str:
        return self.send(call("fail", "sesame"))

    def slots(self) -> int:
        """A task looks around in its own process."""
        task_id = self.send(call("threads"))
        return int(eventually(lambda: self.result(task_id)))

    def result(self, task_id: str) -> Any:
        try:
            return self._stored(task_id)
        except ResultFailure:
            return None

    def failure(self, task_id: str) -> str:
        """Dramatiq keeps no traceback of the last attempt, only what was raised."""
        try:
            self._stored(task_id)
        except ResultFailure as failure:
            return str(failure)
        return ""

    def cancelling(self, task: str) -> str:
        raise NotImplementedError

    def adapter(self) -> DramatiqEngine:
        broker = dramatiq_app.connected(self.queue)
        broker.declare_queue(self.queue)
        broker.declare_queue(self.other_queue)
        for name, actor in dramatiq_app.actors.items():
            dramatiq.actor(actor.fn, actor_name=name, queue_name=self.queue, broker=broker)
        return _Attached(broker, "producer")

    def send(self, one: Call) -> str:
        names = self._names()
        return names["t"].send(eval(self._message(one), names), one.delay, self.client)

    def clean_up(self) -> None:
        if BROKER_NAME == "rabbitmq":
            for name in (self.queue, self.other_queue):
                for kind in ("", ".DQ", ".XQ"):
                    self.client.channel.queue_delete(f"{name}{kind}")
        self.client.close()

    def _message(self, one: Call) -> str:
        more = f"{one.limit}, {one.expires}"
        return f"t.message({self.queue!r}, {one.name!r}, {one.args!r}, {one.kwargs!r}, {more})"

    def _stored(self, task_id: str) -> Any:
        """Results are stored under the actor's name too."""
        for name in ("add", "fail", "digest", "threads"):
            message: Any = Message(self.queue, f"{TASKS}.{name}", (), {}, {}, task_id)
            try:
                return self.results.get_result(message)
            except ResultMissing:
                continue
        return None


class _Attached(DramatiqEngine):
    """For commands: with the hooks of sending, in a broker of its own."""

    def attach(self, agent: Any) -> None:
        super().attach(agent)
        boot = dramatiq_boot.follow(self.broker, lambda: agent)
        assert boot is not None
        boot.engine = self

    def detach(self) -> None:
        super().detach()
        self.broker.close()
