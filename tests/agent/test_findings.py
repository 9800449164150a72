# SPDX-License-Identifier: Apache-2.0
"""Settings of workers that can hurt are told, with what to do; good settings are not."""

from types import SimpleNamespace
from typing import Any

import pytest
from arq.worker import Worker as ArqWorker
from celery import Celery
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import TimeLimit
from huey import RedisHuey
from huey.serializer import SignedSerializer
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer
from taskiq import InMemoryBroker
from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis

from queuedeck_agent import findings, guard, wire
from queuedeck_agent.engines.arq import findings as arq_findings
from queuedeck_agent.engines.celery import findings as celery_findings
from queuedeck_agent.engines.dramatiq import findings as dramatiq_findings
from queuedeck_agent.engines.huey import findings as huey_findings
from queuedeck_agent.engines.rq import findings as rq_findings
from queuedeck_agent.engines.taskiq import findings as taskiq_findings

from taskiq_redis import (  # isort: skip
    ListQueueBroker,
    RedisAsyncResultBackend,
    RedisStreamBroker,
)

AWAY = "redis://broker.example:6379/0"
GUARDED = "redis://:secret@broker.example:6379/0"
GOOD_CELERY = {
    "task_acks_late": True,
    "task_time_limit": 600,
    "broker_transport_options": {"visibility_timeout": 7_200},
}


def of_celery(broker: str = "redis://localhost/0", **conf: Any) -> str:
    app = Celery("app", broker=broker)
    app.conf.update(GOOD_CELERY | conf)
    worker = SimpleNamespace(concurrency=4)
    return " ".join(celery_findings.find(SimpleNamespace(app=app, worker=worker)))


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"accept_content": ["json", "pickle"]}, "Pickle is accepted"),
        ({"accept_content": ["application/x-python-serialize"]}, "Pickle is accepted"),
        ({"task_acks_late": False}, "loses up to 4 running tasks"),
        ({"worker_prefetch_multiplier": 0}, "takes every message that waits"),
        ({"task_time_limit": None}, "No time limit"),
        ({"task_time_limit": 9_000}, "would run twice at once"),
        ({"broker_transport_options": {"visibility_timeout": 60}}, "more than 60 s"),
    ],
)
def test_celery(conf: "dict[str, Any]", words: str) -> None:
    assert of_celery() == ""
    assert words in of_celery(**conf)


def test_visibility_is_of_redis_alone() -> None:
    options = {"broker_transport_options": {"visibility_timeout": 60}}
    assert of_celery("amqp://localhost//", **options) == ""


def of_rq(
    url: str, kind: Any = Worker, serializer: Any = None, timeout: "int | None" = None
) -> str:
    connection = Redis.from_url(url)
    queue = Queue("q", connection=connection, default_timeout=timeout)
    worker = object.__new__(kind)
    worker.queues, worker.serializer = [queue], serializer or queue.serializer
    return " ".join(rq_findings.find(SimpleNamespace(connection=connection, worker=worker)))


def test_rq() -> None:
    assert of_rq("redis://localhost/0") == ""
    assert of_rq(GUARDED) == ""
    assert "Redis on broker.example is used without a password" in of_rq(AWAY)
    assert of_rq(AWAY, serializer=JSONSerializer) == ""
    assert "in the worker's own process" in of_rq(GUARDED, SimpleWorker)
    assert "Queue q has no time limit" in of_rq(GUARDED, timeout=-1)


def of_dramatiq(**options: Any) -> str:
    broker = StubBroker()
    if options.pop("limitless", False):
        broker.middleware = [one for one in broker.middleware if not isinstance(one, TimeLimit)]
        broker.actor_options.discard("time_limit")
    broker.actors["send"] = SimpleNamespace(options=options)  # type: ignore[assignment]
    return " ".join(dramatiq_findings.find(SimpleNamespace(broker=broker)))


def test_dramatiq() -> None:
    assert of_dramatiq(time_limit=1_000) == ""
    assert "TimeLimit middleware is missing" in of_dramatiq(limitless=True)
    assert "No time limit for send" in of_dramatiq(time_limit=float("inf"))


def of_huey(**options: Any) -> str:
    huey = RedisHuey("stock", **({"url": GUARDED} | options))
    return " ".join(huey_findings.find(SimpleNamespace(hueys={"stock": huey})))


def test_huey() -> None:
    assert of_huey() == ""
    assert "without a password" in of_huey(url=AWAY)
    assert of_huey(url=AWAY, serializer=SignedSerializer("secret")) == ""
    assert "immediate mode" in of_huey(immediate=True)
    assert "keeps no results" in of_huey(results=False)


def of_arq(**options: Any) -> str:
    given = {"job_serializer": bytes, "allow_abort_jobs": True, "handle_signals": False} | options
    worker = ArqWorker(functions=[_job], **given)
    return " ".join(arq_findings.find(SimpleNamespace(workers=[worker])))


async def _job(_context: Any) -> None:
    pass


async def test_arq() -> None:
    """On a loop: arq makes one of its own where none runs."""
    assert of_arq() == ""
    assert "allow_abort_jobs is off" in of_arq(allow_abort_jobs=False)
    assert "A job may run for 90000 s" in of_arq(job_timeout=90_000)


def of_taskiq(broker: Any, role: str = "worker") -> str:
    lines = [SimpleNamespace(role=role, broker=broker)]
    return " ".join(taskiq_findings.find(SimpleNamespace(lines=lines)))


def test_taskiq() -> None:
    results: Any = RedisAsyncResultBackend(AWAY)
    assert of_taskiq(RedisStreamBroker(AWAY).with_result_backend(results)) == ""
    assert "forgets a message" in of_taskiq(ListQueueBroker(AWAY).with_result_backend(results))
    assert "No result backend" in of_taskiq(RedisStreamBroker(AWAY))
    assert of_taskiq(ListQueueBroker(AWAY), role="producer") == ""
    assert of_taskiq(InMemoryBroker()) == ""


def test_producers_have_none_and_a_broken_set_up_tells_nothing() -> None:
    info = wire.EngineInfo("celery", "5.6", "s", "producer")
    assert findings.found(SimpleNamespace(), info) == ()  # type: ignore[arg-type]
    worker = wire.EngineInfo("celery", "5.6", "s", "worker")
    assert findings.found(SimpleNamespace(), worker) == ()  # type: ignore[arg-type]
    guard.failures.clear()
