# SPDX-License-Identifier: AGPL-3.0-only
"""A taskiq application of the functions in `tasks.py`."""

import asyncio
import os
from typing import Any

from taskiq import InMemoryBroker, SimpleRetryMiddleware, TaskiqEvents
from taskiq.api import run_receiver_task
from taskiq.kicker import AsyncKicker
from tests.conformance import tasks
from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend  # isort: skip

PREFIX = "tests.conformance.tasks."
OTHER_QUEUE = os.environ.get("TEST_OTHER_QUEUE", "")
NAMES = (
    "add", "note", "digest", "login", "fail", "again", "leaves", "reports", "forks", "vanishes",
)  # fmt: skip


def make(queue: str) -> ListQueueBroker:
    """Connections belong to one event loop, so each has a broker of its own."""
    backend: Any = RedisAsyncResultBackend(tasks.BROKER, prefix_str=queue, result_ex_time=300)
    made = ListQueueBroker(tasks.BROKER, queue_name=queue).with_result_backend(backend)
    for name in NAMES:
        again: dict[str, Any] = {"retry_on_error": True, "max_retries": 2}
        labels = again if name == "again" else {}
        made.register_task(getattr(tasks, name), task_name=PREFIX + name, **labels)
    return made.with_middlewares(SimpleRetryMiddleware())


broker = make(tasks.QUEUE)


@broker.task(PREFIX + "sleep")
async def sleep(key: str, seconds: float) -> str:
    """The same as that of `tasks.py`; taskiq cannot interrupt a thread."""
    tasks.told("sleeps", key, os.getpid())
    await asyncio.sleep(seconds)
    tasks.told("slept", key)
    return "slept"


@broker.task(PREFIX + "sends_another")
async def sends_another() -> str:
    kicker: Any = AsyncKicker(PREFIX + "add", broker, {})
    return (await kicker.kiq(2, 3)).task_id


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start_other(state: Any) -> None:
    """A worker of taskiq has one queue: for a second one the process has a second receiver."""
    if OTHER_QUEUE:
        state.other = asyncio.ensure_future(run_receiver_task(make(OTHER_QUEUE)))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop_other(state: Any) -> None:
    if OTHER_QUEUE:
        state.other.cancel()
        await asyncio.gather(state.other, return_exceptions=True)


def send(
    queue: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], limit: int = 0
) -> str:
    """Sends it now."""

    async def kick() -> str:
        sender = make(queue)
        task = broker.find_task(name)
        given = {**(task.labels if task else {}), **({"timeout": limit} if limit else {})}
        kicker: Any = AsyncKicker(name, sender, given)
        sent = await kicker.kiq(*args, **kwargs)
        await sender.shutdown()
        return str(sent.task_id)

    return asyncio.run(kick())


def eager(name: str, args: tuple[Any, ...]) -> Any:
    """Runs it here and now."""

    async def run() -> Any:
        here = InMemoryBroker(await_inplace=True)
        here.register_task(getattr(tasks, name.removeprefix(PREFIX)), task_name=name)
        kicker: Any = AsyncKicker(name, here, {})
        return (await (await kicker.kiq(*args)).wait_result()).return_value

    return asyncio.run(run())
