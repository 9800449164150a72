# SPDX-License-Identifier: AGPL-3.0-only
"""A Dramatiq application of the functions in `tasks.py`."""

import threading
from typing import Any

import dramatiq
from dramatiq.message import Message
from dramatiq.middleware import TimeLimit, default_middleware
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from tests.conformance import tasks

PREFIX = "tests.conformance.tasks."
NAMES = (
    "add",
    "note",
    "digest",
    "login",
    "fail",
    "again",
    "sleep",
    "leaves",
    "reports",
    "forks",
    "reports_for_ever",
)

results = RedisBackend(url=tasks.BROKER, namespace=f"{tasks.QUEUE}-results")
ON_RABBITMQ = tasks.QUEUES.startswith("amqp")


def connected(namespace: str, **options: Any) -> Any:
    """A broker where tasks wait. RabbitMQ has no namespaces: the queue's name keeps them apart."""
    if not ON_RABBITMQ:
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=tasks.QUEUES, namespace=namespace, **options)
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=tasks.QUEUES, confirm_delivery=True, **options)


broker = connected(
    tasks.QUEUE,
    middleware=[
        TimeLimit(interval=50),
        *(one() for one in default_middleware if one is not TimeLimit),
        Results(backend=results, store_results=True),
    ],
)
dramatiq.set_broker(broker)
broker.declare_queue(tasks.QUEUE)
broker.declare_queue(f"{tasks.QUEUE}-other")


def declare(name: str, function: Any) -> Any:
    """As a decorator would: retried once if it is meant to be."""
    retries = {"max_retries": 1, "min_backoff": 500} if name == "again" else {"max_retries": 0}
    make = dramatiq.actor(actor_name=PREFIX + name, queue_name=tasks.QUEUE, **retries)
    return make(function)


actors = {PREFIX + name: declare(name, getattr(tasks, name)) for name in NAMES}


def sends_another() -> str:
    return actors[PREFIX + "add"].send(2, 3).message_id


declare("sends_another", sends_another)


def threads() -> int:
    """How many messages this process runs at once. Dramatiq 1 calls them `_WorkerThread`."""
    return sum(type(one).__name__.endswith("WorkerThread") for one in threading.enumerate())


declare("threads", threads)


def message(
    queue: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    limit: int = 0,
    expires: int = 0,
) -> "Message[Any]":
    """Not sent yet."""
    options = {"time_limit": limit * 1000, "max_age": expires * 1000}
    given = {key: value for key, value in options.items() if value}
    return Message(queue, name, args, kwargs, given)


def send(one: "Message[Any]", delay: int = 0, client: Any = broker) -> str:
    """Sends it now, or for later."""
    return client.enqueue(one, delay=delay * 1000 or None).message_id
