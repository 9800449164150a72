# SPDX-License-Identifier: AGPL-3.0-only
"""Pause in real consumers: on every storage, with workers that are threads or processes. The pause
is written by another process of the host, as all of them read one file."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.celery_worker import eventually
from tests.support.huey_worker import Worker

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.paused import LOOK_AGAIN_S, Paused

pytestmark = pytest.mark.engine

KINDS = [("redis", "thread"), ("priority", "process"), ("sqlite", "thread"), ("file", "process")]
READ_S = 1.0
"""So long a worker waits for a message of Redis before it looks at the gate again."""


@pytest.fixture(params=KINDS, ids=["-".join(one) for one in KINDS])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    storage, kind = request.param
    worker = Worker(tmp_path, storage).start("-k", kind)
    yield worker
    worker.close()


def paused_of(worker: Worker) -> tuple[Paused, str]:
    """The pauses of the worker's host, and its source."""
    (source,) = {one.source for one in worker.events(wire.SourceSeen)}
    return Paused(next(path.parent for path in worker.spool.rglob("lanes"))), source


def test_paused_queue_waits_and_what_runs_goes_on(worker: Worker) -> None:
    running = worker.send("sleep(1.5).id")
    eventually(lambda: worker.told("sleeps"))
    paused, source = paused_of(worker)
    paused.add(source, worker.queue)
    time.sleep(LOOK_AGAIN_S + READ_S + 0.3)
    sent = worker.send("add(1, 2).id")
    worker.event(wire.TaskSucceeded, running)
    assert stays(lambda: not worker.events(wire.TaskStarted, sent), 0.8)
    paused.remove(source, worker.queue)
    worker.event(wire.TaskSucceeded, sent)
    assert len(worker.events(wire.TaskStarted, sent)) == 1


def test_paused_consumer_stops_when_it_is_told_to(worker: Worker) -> None:
    worker.event(wire.TaskSucceeded, worker.send("add(1, 1).id"))
    paused, source = paused_of(worker)
    paused.add(source, worker.queue)
    time.sleep(LOOK_AGAIN_S + READ_S + 0.3)
    waits = worker.send("add(1, 2).id")
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 5
    worker.start()
    assert stays(lambda: not worker.events(wire.TaskStarted, waits), 0.5)
    paused.remove(source, worker.queue)
    worker.event(wire.TaskSucceeded, waits)
