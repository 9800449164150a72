# SPDX-License-Identifier: AGPL-3.0-only
"""What only RQ has: its ways to enqueue, to run again under one id, and to end."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from rq import Queue, Repeat, Retry
from rq.job import Job
from tests.conformance.harness import Call, call, eventually, key
from tests.conformance.rq_harness import RqHarness

from queuedeck_agent import wire
from queuedeck_agent.segment import Segment

pytestmark = pytest.mark.engine
OWN = "tests.conformance.rq_tasks"
ADD = "tests.conformance.tasks.add"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RqHarness]:
    worker = RqHarness(tmp_path_factory.mktemp("worker"))
    worker.start()
    yield worker
    worker.close()


def queue_of(worker: RqHarness) -> Queue:
    return Queue(worker.queue, connection=worker.client)


def stamps(worker: RqHarness, job_id: str) -> list[int]:
    """What each start says about the publication that it belongs to."""
    return [one.published_us for one in worker.events(wire.TaskStarted, job_id)]


def written(worker: RqHarness, job_id: str) -> list[str]:
    """Kinds of the job's events in the order in which horses wrote them, into one lane. That a job
    begins is written by their parent, into its own."""
    found: list[str] = []
    for path in sorted(worker.spool.rglob("*.seg")):
        segment = Segment.open(path)
        events = [wire.decode_event(payload) for _, payload in segment.records()]
        found += [type(one).__name__ for one in events if getattr(one, "task_id", "") == job_id]
        segment.close()
    return [one for one in found if one != "TaskStarted"]


def test_returned_retries_count_attempts(worker: RqHarness) -> None:
    name = key()
    job = queue_of(worker).enqueue(f"{OWN}.asks_again", name)
    failed = worker.event(wire.TaskFailed, job.id)
    retrying = worker.events(wire.TaskRetrying, job.id)
    assert [one.attempt for one in retrying] == [1, 2]
    assert (failed.attempt, failed.exception) == (3, "rq.job.Retry")
    assert len(worker.told("asked", name)) == 3


def test_retry_with_an_interval_is_scheduled(worker: RqHarness) -> None:
    options = {"retry": Retry(max=1, interval=1)}
    job = queue_of(worker).enqueue("tests.conformance.tasks.again", key(), **options)
    worker.event(wire.TaskSucceeded, job.id)
    retrying = worker.event(wire.TaskRetrying, job.id)
    assert 500_000 <= retrying.next_us - retrying.at_us <= 1_500_000
    published = worker.event(wire.TaskPublished, job.id)
    assert (published.attempt, published.eta_us > published.at_us) == (2, True)


def test_killed_horse_with_retries_is_retrying(worker: RqHarness) -> None:
    worker.redis.delete(f"told:{worker.queue}")
    job = queue_of(worker).enqueue(f"{OWN}.dies_once", key(), retry=Retry(max=1))
    done = worker.event(wire.TaskSucceeded, job.id)
    retrying = worker.event(wire.TaskRetrying, job.id)
    assert (retrying.attempt, done.attempt) == (1, 2)
    assert "signal 9" in retrying.message
    assert worker.events(wire.TaskLost, job.id) == []


def test_horse_killed_before_its_first_line_is_lost(worker: RqHarness) -> None:
    job = queue_of(worker).enqueue("tests.support.rq_deadly.work", 1)
    lost = worker.event(wire.TaskLost, job.id)
    assert lost.name == "tests.support.rq_deadly.work"
    assert worker.kinds(job.id) == {("TaskLost", 1)}


def test_worker_tells_that_a_job_begins_before_it_forks(worker: RqHarness) -> None:
    """Where the sender has captured the arguments, the horse is not needed for it."""
    job_id = worker.attached(
        "print(t.send(t.tasks.QUEUE, 'tests.support.rq_deadly.work', (), {'n': 1}).id)"
    )
    lost = worker.event(wire.TaskLost, job_id)
    assert worker.kinds(job_id) == {("TaskPublished", 1), ("TaskStarted", 1), ("TaskLost", 1)}
    start = worker.event(wire.TaskStarted, job_id)
    assert start.at_us < lost.at_us
    assert worker.process is not None
    assert start.pid == worker.process.pid


def test_damaged_job_has_failed(worker: RqHarness) -> None:
    queue = queue_of(worker)
    job = queue.enqueue_in(timedelta(seconds=1), ADD, 1, 1)
    worker.client.hset(job.key, "data", b"nonsense")
    failed = worker.event(wire.TaskFailed, job.id)
    assert failed.exception == "rq.exceptions.DeserializationError"
    assert failed.name == ADD


def test_pipeline_tells_when_it_is_executed(worker: RqHarness) -> None:
    code = (
        "q = t.Queue('elsewhere-' + t.tasks.QUEUE, connection=t.connection())\n"
        "p = q.connection.pipeline()\n"
        "never = q.enqueue(t.tasks.add, 1, 1, pipeline=p).id\n"
        "p.reset()\n"
        "done = q.enqueue(t.tasks.add, 1, 1, pipeline=p).id\n"
        "p.execute()\n"
        "print(never, done)"
    )
    never, done = worker.attached(code).split()
    assert worker.kinds(done) == {("TaskPublished", 1)}
    assert worker.kinds(never) == set()
    assert worker.redis.lrange(f"rq:queue:elsewhere-{worker.queue}", 0, -1) == [done]


def test_many_at_once_are_all_told(worker: RqHarness) -> None:
    code = (
        "q = t.Queue(t.tasks.QUEUE, connection=t.connection())\n"
        "datas = [q.prepare_data(t.tasks.add, (n, n)) for n in range(3)]\n"
        "print(*(job.id for job in q.enqueue_many(datas)))"
    )
    for task_id in worker.attached(code).split():
        worker.event(wire.TaskPublished, task_id)
        worker.event(wire.TaskSucceeded, task_id)


def test_repeated_job_is_a_new_run_each_time(worker: RqHarness) -> None:
    job = queue_of(worker).enqueue(ADD, 1, 1, repeat=Repeat(times=2))
    eventually(lambda: len(worker.events(wire.TaskSucceeded, job.id)) == 3)
    assert len(set(stamps(worker, job.id))) == 3
    again = ["TaskSucceeded", "TaskPublished"]
    assert written(worker, job.id) == [*again, *again, "TaskSucceeded"]
    starts = worker.events(wire.TaskStarted, job.id)
    ends = worker.events(wire.TaskSucceeded, job.id)
    times = [(start.at_us, end.at_us) for start, end in zip(starts, ends, strict=True)]
    assert times == sorted(times), "one run after the other"
    assert all(start < end for start, end in times)


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "without agent"])
def test_requeued_job_is_a_new_run(worker: RqHarness, attached: bool) -> None:
    job_id = worker.send(call("fail", "x"))
    worker.event(wire.TaskFailed, job_id)
    eventually(lambda: worker.failure(job_id))  # told before RQ has written it down
    if attached:
        worker.attached(f"t.Job.fetch({job_id!r}, connection=t.connection()).requeue()")
    else:
        Job.fetch(job_id, connection=worker.client).requeue()
    eventually(lambda: len(worker.events(wire.TaskFailed, job_id)) == 2)
    first, second = stamps(worker, job_id)
    assert second > first
    assert {one.attempt for one in worker.events(wire.TaskFailed, job_id)} == {1}
    assert len(worker.events(wire.TaskPublished, job_id)) == (1 if attached else 0)


def test_deleted_job_is_cancelled(worker: RqHarness) -> None:
    send = worker.sending(Call("add", (1, 1), delay=60))
    code = f"job = t.Job.fetch({send}, connection=t.connection())\njob.delete()\nprint(job.id)"
    job_id = worker.attached(code)
    assert worker.event(wire.TaskCancelled, job_id).reason == "revoked"


def test_stamp_leaves_the_job_as_it_was(worker: RqHarness) -> None:
    code = (
        "job = t.send(t.tasks.QUEUE, 'tests.conformance.tasks.add', (1, 2), {}, delay=60)\n"
        "again = t.Job.fetch(job.id, connection=job.connection)\n"
        "print(again.args, again.meta, again.description, sep='|')\n"
    )
    assert worker.attached(code) == "(1, 2)|{}|tests.conformance.tasks.add(1, 2)"


def test_group_is_told(worker: RqHarness) -> None:
    code = (
        "from rq.group import Group\n"
        "q = t.Queue(t.tasks.QUEUE, connection=t.connection())\n"
        "group = Group.create(connection=q.connection)\n"
        "group.enqueue_many(q, [t.Queue.prepare_data(t.tasks.add, (1, 1)) for _ in range(2)])\n"
        "print(group.name)"
    )
    group = worker.attached(code)
    published = [one for one in worker.events(wire.TaskPublished) if one.group_id == group]
    assert len(published) == 2


ENDS_MEANWHILE = """
from rq import Queue
from rq.job import Job
from redis import Redis
from tests.conformance import tasks

queue = Queue({queue!r}, connection=Redis.from_url(tasks.BROKER))
first = queue.enqueue({add!r}, 1, 2, result_ttl=500)
register, rounds = Job.register_dependency, []

def register_late(job, pipeline=None):
    rounds.append(job)
    while first.get_status() != "finished":
        pass
    return register(job, pipeline)

Job.register_dependency = register_late
second = queue.enqueue({add!r}, 3, 4, depends_on=first)
print(first.id, second.id, len(rounds))
"""


def test_dependency_that_ends_meanwhile_hides_no_enqueueing(worker: RqHarness) -> None:
    """RQ notices, drops the pipeline in which the job waits, and enqueues it at once."""
    code = ENDS_MEANWHILE.format(queue=worker.queue, add=ADD)
    first, second, rounds = worker.attached(code).split()
    assert rounds == "1"
    worker.event(wire.TaskSucceeded, second)
    (published,) = worker.events(wire.TaskPublished, second)
    assert published.parent_id == first
    assert stamps(worker, second) == [published.at_us]
