# SPDX-License-Identifier: AGPL-3.0-only
"""A paused queue of a real worker: no message is taken, lost or run twice, whatever happens."""

import contextlib

import psutil
import pytest
import redis
from tests.agent.engines.conftest import MakeWorker
from tests.support.celery_worker import Worker, eventually

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.paused import Paused

pytestmark = pytest.mark.engine


def pause(worker: Worker) -> tuple[Paused, str]:
    """As the worker's agent writes it down; returns when the worker has seen it."""
    first = worker.send("add", 1, 1)
    source = worker.event(wire.TaskSucceeded, first).source
    folder = next(path.parent for path in worker.spool.rglob("lanes"))
    paused = Paused(folder)
    paused.add(source, worker.queue)
    eventually(lambda: f"Takes nothing from queue {worker.queue}: it is paused" in worker.text)
    return paused, source


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_message_that_a_waiting_worker_still_gets_is_put_back(
    make_worker: MakeWorker, pool: str
) -> None:
    worker = make_worker().start("-P", pool)
    paused, source = pause(worker)
    task_id = worker.send("digest", pool)  # within the second that the worker waits in its BRPOP
    eventually(lambda: worker.redis.llen(worker.queue) == 1)
    assert stays(lambda: worker.redis.llen(worker.queue) == 1, 1.5)
    assert worker.told("digest") == []
    paused.remove(source, worker.queue)
    worker.event(wire.TaskSucceeded, task_id)
    assert len(worker.told("digest")) == 1


def test_pause_holds_when_the_connection_is_lost(make_worker: MakeWorker) -> None:
    worker = make_worker().start()
    paused, source = pause(worker)
    cut(worker)
    eventually(lambda: worker.text.count("Connected to redis") == 2)
    task_id = worker.send("digest", "cut")
    assert stays(lambda: worker.redis.llen(worker.queue) == 1, 1.5)
    paused.remove(source, worker.queue)
    worker.event(wire.TaskSucceeded, task_id)
    cut(worker)
    eventually(lambda: worker.text.count("Connected to redis") == 3)
    worker.event(wire.TaskSucceeded, worker.send("add", 1, 1))


def cut(worker: Worker) -> None:
    """Redis closes every connection of the worker's main process."""
    assert worker.process is not None
    client = redis.Redis.from_url(worker.client.conf.broker_url)
    for one in psutil.Process(worker.process.pid).net_connections("tcp"):
        with contextlib.suppress(redis.ResponseError):
            client.client_kill(f"{one.laddr.ip}:{one.laddr.port}")
    client.close()
