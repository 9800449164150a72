# SPDX-License-Identifier: AGPL-3.0-only
"""The gate of an RQ worker: a job that was taken in the moment of a pause is not lost, not run, not
there twice, and nobody hears of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import rq.exceptions
import rq.worker
from redis.exceptions import ConnectionError as NoConnection
from rq import Queue, SimpleWorker
from rq.job import Job
from tests.conformance.harness import Commander, call, eventually, key
from tests.conformance.rq_harness import RqHarness
from tests.conformance.test_rq import TwoQueues

from queuedeck_agent import wire
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.engines.rq.adapter import RqEngine
from queuedeck_agent.engines.rq.gate import Gate

pytestmark = pytest.mark.engine
Make = Callable[[type[RqHarness]], RqHarness]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[RqHarness] = []

    def start(kind: type[RqHarness]) -> RqHarness:
        made.append(kind(tmp_path))
        made[-1].link("pause", "worker", "observe").start()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


class Alone:
    """A gate without a worker around it, on a queue of its own."""

    def __init__(self, folder: Path) -> None:
        self.harness = RqHarness(folder)
        self.queue = Queue(self.harness.queue, connection=self.harness.client)
        self.commander = Commander(self.harness, ("pause",), folder / "own")
        self.agent = self.commander.agent
        self.source = self.commander.engine.source.key
        self.gate = Gate(self.agent, self.source, self.harness.client)

    def pause(self) -> None:
        self.agent.paused.add(self.source, self.queue.name)

    def take(self, meanwhile: Callable[[Job], None], timeout: int | None = 1) -> Any:
        """Takes as a worker does; `meanwhile` happens right after Redis gave the job away."""

        def dequeue(some: list[Queue], seconds: int | None) -> Any:
            found = Queue.dequeue_any(some, seconds, connection=self.harness.client)
            if found is not None:
                meanwhile(found[0])
            return found

        return self.gate.take(dequeue, [self.queue], timeout)

    def waiting(self) -> tuple[list[str], list[str]]:
        """In the queue, and between queue and worker."""
        name = f"rq:queue:{self.queue.name}"
        client = self.harness.redis
        return client.lrange(name, 0, -1), client.lrange(f"{name}:intermediate", 0, -1)

    def close(self) -> None:
        self.commander.close()
        self.harness.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    alone = Alone(tmp_path)
    yield alone
    alone.close()


@pytest.mark.parametrize("kind", [RqHarness, TwoQueues], ids=["blmove", "blpop"])
def test_job_taken_by_a_waiting_worker_goes_back_to_the_front(
    make: Make, kind: type[RqHarness]
) -> None:
    worker = make(kind)
    name = key()
    eventually(lambda: _waits_at_redis(worker))
    worker.order("pause", queue=worker.queue)
    sent = [worker.send(call("note", name)) for _ in range(2)]
    eventually(lambda: "put back" in worker.text)
    place = f"rq:queue:{worker.queue}"
    assert stays(lambda: worker.redis.lrange(place, 0, -1) == sent, 1)
    assert worker.redis.lrange(f"{place}:intermediate", 0, -1) == []
    assert Job.fetch(sent[0], connection=worker.client).get_status() == "queued"
    assert worker.kinds(sent[0]) == set()
    worker.order("resume", queue=worker.queue)
    starts = [worker.event(wire.TaskStarted, one).at_us for one in sent]
    worker.event(wire.TaskSucceeded, sent[1])
    assert starts == sorted(starts)
    assert len(worker.told("note", name)) == 2


def test_one_of_two_queues_is_taken_from_as_ever(make: Make) -> None:
    """RQ takes from a single queue by way of another list, which only a worker of one clears."""
    worker = make(TwoQueues)
    worker.order("pause", queue=worker.queue)
    task_id = worker.send_to(worker.other_queue, call("add", 1, 1))
    worker.event(wire.TaskSucceeded, task_id)
    assert worker.redis.keys(f"*{worker.queue}*:intermediate") == []


def test_nothing_is_taken_from_a_paused_queue(alone: Alone) -> None:
    alone.queue.enqueue(divmod, 7, 2)
    alone.pause()
    taken: list[Job] = []
    with pytest.raises(Exception, match=alone.queue.name) as refusal:
        alone.take(taken.append)
    assert type(refusal.value).__name__ == "DequeueTimeout"
    assert taken == []
    assert len(alone.queue) == 1


def test_pause_in_the_moment_of_taking(alone: Alone) -> None:
    jobs = [alone.queue.enqueue(divmod, number, 2).id for number in range(3)]
    with pytest.raises(Exception, match=alone.queue.name):
        alone.take(lambda _: alone.pause())
    assert alone.waiting() == (jobs, [])


@pytest.mark.parametrize("ending", [Job.cancel, Job.delete], ids=["cancelled", "deleted"])
def test_job_that_is_ended_in_that_moment_stays_away(
    alone: Alone, ending: Callable[[Job], None]
) -> None:
    alone.queue.enqueue(divmod, 7, 2)

    def both(job: Job) -> None:
        alone.pause()
        ending(Job.fetch(job.id, connection=alone.harness.client))

    with pytest.raises(Exception, match=alone.queue.name):
        alone.take(both)
    assert alone.waiting() == ([], [])


class Breaks:
    """A connection that fails at first: as a network does, or a signal that ends the worker."""

    def __init__(self, real: Any, error: BaseException, after: bool, times: int = 1) -> None:
        self.real, self.error, self.after, self.left = real, error, after, times

    def eval(self, *words: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            return self.real.eval(*words)
        if self.after:
            self.real.eval(*words)
        raise self.error


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_lost_answer_of_redis_neither_loses_nor_doubles_the_job(alone: Alone, after: bool) -> None:
    jobs = [alone.queue.enqueue(divmod, number, 2).id for number in range(2)]
    error = NoConnection()
    alone.gate._connection = Breaks(alone.harness.client, error, after)  # pyright: ignore
    with pytest.raises(Exception, match=alone.queue.name):
        alone.take(lambda _: alone.pause())
    assert alone.waiting() == (jobs, [])


def test_worker_that_is_stopped_in_that_moment_does_not_lose_the_job(alone: Alone) -> None:
    """RQ raises this in its handler of SIGTERM, wherever the worker is."""
    stops: Any = vars(rq.exceptions).get("StopRequested") or vars(rq.worker)["StopRequested"]
    job = alone.queue.enqueue(divmod, 7, 2).id
    alone.gate._connection = Breaks(alone.harness.client, stops(), True)  # pyright: ignore
    with pytest.raises(stops):
        alone.take(lambda _: alone.pause())
    assert alone.waiting() == ([job], [])


def test_job_runs_when_it_cannot_be_put_back(alone: Alone) -> None:
    job = alone.queue.enqueue(divmod, 7, 2)
    error = NoConnection()
    alone.gate._connection = Breaks(alone.harness.client, error, False, 9)  # pyright: ignore
    found, _ = alone.take(lambda _: alone.pause())
    assert found.id == job.id


def test_worker_in_burst_mode_ends_at_a_paused_queue(alone: Alone) -> None:
    alone.queue.enqueue(divmod, 7, 2)
    alone.pause()
    assert alone.take(lambda _: None, None) is None
    assert len(alone.queue) == 1


def test_queue_is_taken_from_again_when_the_pause_is_over(alone: Alone) -> None:
    job = alone.queue.enqueue(divmod, 7, 2)
    alone.agent.paused.add(alone.source, alone.queue.name, 1)
    began = time.monotonic()
    found, queue = alone.take(lambda _: None, 30)
    assert (found.id, queue.name) == (job.id, alone.queue.name)
    assert 0.9 < time.monotonic() - began < 5


def test_producer_is_no_worker(alone: Alone) -> None:
    said = {one.verb: one for one in alone.commander.engine.capabilities()}
    for verb in ("pause", "resume", "drain", "undrain", "restart"):
        assert said[verb].how == "none"
    worker = SimpleWorker([alone.queue], connection=alone.harness.client)
    engine = RqEngine(alone.harness.client, "worker", worker)
    engine.attach(alone.agent)
    assert {one.verb: one.how for one in engine.capabilities()}["pause"] == "emulated"
    engine.detach()


def _waits_at_redis(worker: RqHarness) -> bool:
    """Whether its connection is blocked there, by the word of Redis."""
    assert worker.process is not None
    ours = {one.laddr.port for one in psutil.Process(worker.process.pid).net_connections()}
    clients: Any = worker.redis.client_list()
    blocked = [one for one in clients if "b" in one["flags"]]
    return any(int(one["addr"].rpartition(":")[2]) in ours for one in blocked)
