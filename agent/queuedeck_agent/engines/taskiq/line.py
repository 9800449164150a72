# SPDX-License-Identifier: Apache-2.0
"""One broker of this process: its hooks, its gate, and the event loop that it belongs to."""

import asyncio
import concurrent.futures
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import within
from queuedeck_agent.engines.taskiq import gate as taskiq_gate
from queuedeck_agent.engines.taskiq.send import SendHooks
from queuedeck_agent.engines.taskiq.source import queue_of
from queuedeck_agent.engines.taskiq.tasks import TaskHooks
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.guard import note

T = TypeVar("T")

LONGEST_READ_S = 4.0
"""So long a question to a stream is waited for that could not be ended; by default it takes 2 s."""
ANSWER_S = 10.0
"""So long the application's event loop has for one command."""


class Line:
    """An application may send by several brokers, and listen to one of them."""

    def __init__(self, agent: Agent, broker: Any, role: str, source: str, worker: str) -> None:
        self.broker = broker
        self.role = role
        """`worker`, `scheduler` or `producer`."""
        self.sending = SendHooks(agent, broker, source)
        self.tasks = TaskHooks(self.sending, worker)
        self.gate = taskiq_gate.open_gate(broker, agent, source)
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the broker was used last: its connections belong to that loop."""
        self.is_list = _is_a(broker, "ListQueueBroker")
        self.is_stream = _is_a(broker, "RedisStreamBroker")

    @property
    def queues(self) -> "tuple[str, ...]":
        """What a worker with this broker listens to."""
        more = getattr(self.broker, "additional_streams", None) if self.is_stream else None
        return tuple(filter(None, (queue_of(self.broker, {}), *(more or ()))))

    @property
    def is_running(self) -> bool:
        """Whether commands can be carried out here now."""
        return self.loop is not None and self.loop.is_running()

    def run(self, work: "Coroutine[Any, Any, T]") -> T:
        """Connections of asyncio belong to the loop that opened them."""
        loop = self.loop
        if loop is None or not loop.is_running():
            work.close()
            raise CommandRefused(
                "error",
                "The event loop of this application is not running now, so its broker cannot be "
                "used. A worker can do it.",
            )
        answer = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return answer.result(ANSWER_S)
        except concurrent.futures.TimeoutError:
            answer.cancel()
            text = f"The application's event loop did not answer within {ANSWER_S:g} s."
            raise CommandRefused("unknown", text) from None

    def closes(self) -> bool:
        """After the gate was closed: whether nothing more comes in by a question of before."""
        gate, since = self.gate, time.monotonic()
        if gate is None:
            return False
        try:
            self.run(taskiq_gate.wake(self.broker))
        except Exception as error:  # noqa: BLE001 - Redis may forbid it; then the question runs out
            note("queuedeck_agent.engines.taskiq.gate.wake", error)
        return within(lambda: gate.is_still(since), LONGEST_READ_S) or self.is_list

    def detach(self) -> None:
        """Takes our middleware out of the broker."""
        taskiq_gate.close_gate(self.broker)
        others = [one for one in self.broker.middlewares if not hasattr(one, "boot")]
        self.broker.middlewares = others


def _is_a(broker: Any, kind: str) -> bool:
    """The packages of brokers are not imported for it."""
    return any(one.__name__ == kind for one in type(broker).__mro__)
