# SPDX-License-Identifier: AGPL-3.0-only
"""Verbs of RQ where they meet its own ways: pickles, dependents, registries that clean themselves
up when they are read, and names that are imported, whatever they are."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.job import Job
from tests.conformance.harness import Commander, call, eventually, key
from tests.conformance.rq_harness import RqHarness
from tests.support.queue_keys import unchanged

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine
OWN = "tests.conformance.rq_tasks"
ADD = "tests.conformance.tasks.add"
FAIL = "tests.conformance.tasks.fail"
ALL = tuple(sorted(set(wire.VERBS.values())))
Details = wire.CommandDetails
Make = Callable[..., RqHarness]


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RqHarness]:
    worker = RqHarness(tmp_path_factory.mktemp("linked"))
    worker.link(*ALL).start()
    yield worker
    worker.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[RqHarness] = []

    def start(*options: str, **environment: str) -> RqHarness:
        class Optional(RqHarness):
            pass

        Optional.options = options
        made.append(Optional(tmp_path, environment))
        made[-1].link(*ALL).start()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


class Far:
    """A queue that nobody serves, and somebody who may do everything with it."""

    def __init__(self, folder: Path) -> None:
        self.harness = RqHarness(folder)
        self.redis = self.harness.redis
        self.queue = Queue(self.harness.queue, connection=self.harness.client)
        self.commander: Commander = self.harness.commander(*ALL)

    def execute(self, verb: str, task_id: str = "", name: str = "", **more: Any) -> Any:
        more.setdefault("queue", self.queue.name)
        return self.commander.execute(verb, task_id, name, **more)

    def ids(self) -> list[str]:
        return self.redis.lrange(f"rq:queue:{self.queue.name}", 0, -1)

    def fail(self, job: Job, **fields: str) -> None:
        """As a worker leaves a job that has failed."""
        self.queue.remove(job)
        place = {"status": "failed", **fields}
        self.redis.hset(f"rq:job:{job.id}", mapping=place)
        self.redis.zadd(f"rq:failed:{self.queue.name}", {job.id: time.time() + 60})

    def found(self, verb: str, task_id: str = "") -> Any:
        return json.loads(self.execute(verb, task_id, ADD).found)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    far = Far(tmp_path)
    yield far
    far.harness.close()


# --- Calls ---


def test_payload_is_read_in_a_process_like_a_horse(linked: RqHarness) -> None:
    from tests.conformance.rq_tasks import Canary

    name = key()
    job = Queue(linked.queue, connection=linked.client).enqueue(f"{OWN}.meets", Canary(name), "a")
    started = linked.event(wire.TaskStarted, job.id)
    given = json.loads(started.args)
    given["args"][1] = "b"
    details = Details(args=json.dumps(given).encode())
    done = linked.order("edit", job.id, started.name, started.sealed, details=details)
    linked.event(wire.TaskSucceeded, done.new_task_id)
    assert [line[2] for line in linked.told("meets", name)] == ["a", "b"]
    assert linked.process is not None
    assert str(linked.process.pid) not in {line[2] for line in linked.told("hatched", name)}
    edited = Job.fetch(done.new_task_id, connection=linked.client)
    assert edited.description.endswith("'b')")


def test_code_that_kills_its_process_kills_no_worker(linked: RqHarness) -> None:
    """The module of this job kills whoever imports it."""
    about = ("", "tests.support.rq_deadly.work")
    with pytest.raises(CommandRefused, match="has died"):
        linked.order("submit", *about, details=Details(args=b"{}", queue=linked.queue))
    linked.event(wire.TaskSucceeded, linked.send(call("add", 1, 1)))


def test_json_worker_edits_and_submits_json(make: Make) -> None:
    json_only = "rq.serializers.JSONSerializer"
    worker = make("worker", "--serializer", json_only)
    job = Queue(worker.queue, connection=worker.client, serializer=json_only).enqueue(ADD, 2, 3)
    started = worker.event(wire.TaskStarted, job.id)
    details = Details(args=b'{"args": [4, 5]}', queue=worker.queue)
    edited = worker.order("edit", job.id, ADD, started.sealed, details=details)
    assert worker.event(wire.TaskSucceeded, edited.new_task_id).result == b"9"
    submitted = worker.order("submit", "", ADD, details=details)
    assert worker.event(wire.TaskSucceeded, submitted.new_task_id).result == b"9"


def test_simple_worker_edits_in_its_own_process(make: Make) -> None:
    worker = make("worker", "--worker-class", "rq.SimpleWorker")
    task_id = worker.send(call("add", 2, 3))
    sealed = worker.event(wire.TaskStarted, task_id).sealed
    details = Details(args=b'{"args": [4, 5]}')
    done = worker.order("edit", task_id, ADD, sealed, details=details)
    assert worker.event(wire.TaskSucceeded, done.new_task_id).result == b"9"
    assert worker.able("terminate").how == "none"


def test_only_vouched_names_are_submitted(make: Make) -> None:
    """RQ would import and run it: `*` vouches for nothing."""
    worker = make("worker", QUEUEDECK_ALLOW_TASKS="*")
    details = Details(args=b'{"args": [4, 5]}', queue=worker.queue)
    for name in ("os.system", ADD):
        with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW_TASKS") as refusal:
            worker.order("submit", "", name, details=details)
        assert refusal.value.code == "invalid"
    worker.event(wire.TaskSucceeded, worker.send(call("add", 2, 3)))
    done = worker.order("submit", "", ADD, details=details)
    assert worker.event(wire.TaskSucceeded, done.new_task_id).result == b"9"
    with pytest.raises(CommandRefused, match=ADD):
        worker.order("submit", "", "os.system", details=details)


def test_delayed_and_first(far: Far) -> None:
    far.commander.agent.policy.tasks = ("*", "tests.*")
    waits = far.queue.enqueue(ADD, 1, 1).id
    given = Details(args=b'{"args": [4, 5]}', priority=1)
    first = far.execute("submit", "", ADD, details=given).new_task_id
    assert far.ids() == [first, waits]
    given = Details(args=b'{"args": [4, 5]}', delay_s=60)
    done = far.execute("submit", "", ADD, details=given)
    due = far.redis.zscore(f"rq:scheduled:{far.queue.name}", done.new_task_id)
    assert due is not None
    assert 50 < due - time.time() <= 60
    assert "--with-scheduler" in done.effect
    published = far.commander.events(wire.TaskPublished)[-1]
    assert 59_000_000 <= published.eta_us - published.at_us <= 60_000_000
    with pytest.raises(CommandRefused, match="not both"):
        far.execute("submit", "", ADD, details=Details(delay_s=5, priority=1))


# --- A job's place ---


def test_scheduled_job_moves_with_its_time(far: Far) -> None:
    job = far.queue.enqueue_in(timedelta(minutes=5), ADD, 1, 1)
    due = far.redis.zscore(f"rq:scheduled:{far.queue.name}", job.id)
    to = f"{far.queue.name}-other"
    far.execute("move", job.id, ADD, details=Details(queue=to))
    assert far.redis.zrange(f"rq:scheduled:{far.queue.name}", 0, -1) == []
    assert far.redis.zscore(f"rq:scheduled:{to}", job.id) == due
    assert Job.fetch(job.id, connection=far.harness.client).origin == to


@pytest.mark.parametrize("verb", ["move", "priority"])
def test_job_that_was_taken_is_left_alone(far: Far, verb: str) -> None:
    """Popped, though its hash still says that it waits."""
    job = far.queue.enqueue(ADD, 1, 1)
    far.queue.pop_job_id()
    elsewhere = f"{far.queue.name}-other"
    details = Details(queue=elsewhere, priority=1)
    with pytest.raises(CommandRefused, match="took the job"):
        far.execute(verb, job.id, ADD, details=details)
    assert far.ids() == []
    assert far.redis.llen(f"rq:queue:{elsewhere}") == 0


def test_requeued_job_is_a_new_run_under_its_id(linked: RqHarness) -> None:
    queue = Queue(linked.queue, connection=linked.client)
    job = queue.enqueue(FAIL, "x", failure_ttl=600)
    linked.event(wire.TaskFailed, job.id)
    eventually(lambda: job.id in linked.dead())
    done = linked.order("requeue", job.id, FAIL, queue=linked.queue)
    assert (done.affected, done.new_task_id) == (1, "")
    eventually(lambda: len(linked.events(wire.TaskFailed, job.id)) == 2)
    published = linked.event(wire.TaskPublished, job.id)
    first, second = linked.events(wire.TaskStarted, job.id)
    assert (published.attempt, published.name, published.retry_of) == (1, FAIL, "")
    assert (second.attempt, second.published_us) == (1, published.at_us)
    assert first.published_us < second.published_us


def test_requeued_job_does_not_expire_while_it_waits(far: Far) -> None:
    job = far.queue.enqueue(ADD, 1, 1)
    far.fail(job)
    far.redis.expire(f"rq:job:{job.id}", 60)
    far.execute("requeue", job.id, ADD)
    assert (far.ids(), far.redis.ttl(f"rq:job:{job.id}")) == ([job.id], -1)
    with pytest.raises(CommandRefused, match="not among the failed"):
        far.execute("requeue", job.id, ADD)
    assert far.ids() == [job.id]


def test_requeue_asks_the_policy_about_each_job(far: Far) -> None:
    far.commander.agent.policy.tasks = ("*.add",)
    good, bad = far.queue.enqueue(ADD, 1, 1), far.queue.enqueue(FAIL, "x")
    far.fail(good)
    far.fail(bad)
    done = far.execute("requeue", details=Details(ids=(good.id, bad.id)))
    assert (done.affected, far.ids()) == (1, [good.id])
    assert FAIL in done.effect


@pytest.mark.parametrize("odd", [False, True], ids=["plain", "with an object"])
@pytest.mark.parametrize("verb", ["cancel", "terminate", "move", "priority", "reconcile"])
def test_name_is_the_jobs_own_not_that_of_the_command(far: Far, verb: str, odd: bool) -> None:
    """A payload cannot be passed off as another's, not by a description either."""
    from tests.conformance.rq_tasks import Canary

    far.commander.agent.policy.tasks = ("*.add",)
    given = Canary(key()) if odd else "x"
    job = far.queue.enqueue(FAIL, given, description=f"{ADD}(1, 1)")
    details = Details(queue="elsewhere", priority=1)
    with pytest.raises(CommandRefused, match=FAIL) as refusal:
        far.execute(verb, job.id, ADD, details=details)
    assert refusal.value.code == "refused"
    assert (far.ids(), job.get_status()) == ([job.id], "queued")


# --- A queue ---


def test_purge_leaves_what_depends_as_it_was(far: Far) -> None:
    first = far.queue.enqueue(ADD, 1, 1)
    other = far.queue.enqueue(ADD, 2, 2)
    both = far.queue.enqueue(ADD, 3, 3, depends_on=[first, other])
    later = far.queue.enqueue_in(timedelta(minutes=5), ADD, 4, 4)
    alone = far.queue.enqueue(ADD, 5, 5)
    done = far.execute("purge")
    assert (done.affected, done.verified, far.ids()) == (3, True, [])
    assert "depend on 2 of them" in done.effect
    connection = far.harness.client
    assert not Job.exists(alone.id, connection=connection)
    assert Job.fetch(first.id, connection=connection).get_status() == "canceled"
    assert Job.fetch(both.id, connection=connection).get_status() == "deferred"
    assert far.redis.smembers(f"rq:job:{first.id}:dependents") == {both.id}
    assert far.redis.zrange(f"rq:scheduled:{far.queue.name}", 0, -1) == [later.id]
    assert not Job.fetch(both.id, connection=connection).dependencies_are_met()


def test_purge_does_not_touch_a_job_that_runs(far: Far) -> None:
    """One id can be in a queue twice: rq-scheduler enqueues a job again while it runs."""
    job = far.queue.enqueue(ADD, 1, 1)
    far.redis.hset(f"rq:job:{job.id}", "status", "started")
    done = far.execute("purge")
    assert (done.affected, far.ids()) == (1, [])
    assert Job.exists(job.id, connection=far.harness.client)
    assert far.commander.events(wire.TaskCancelled) == []


def test_purge_of_many(far: Far) -> None:
    datas = [Queue.prepare_data(ADD, (n, n)) for n in range(2500)]
    sent = {job.id for job in far.queue.enqueue_many(datas)}
    done = far.execute("purge")
    assert (done.affected, done.verified, far.ids()) == (2500, True, [])
    assert {one.task_id for one in far.commander.events(wire.TaskCancelled)} == sent
    assert [name for name in sent if far.redis.exists(f"rq:job:{name}")] == []


def test_peek_runs_no_code(far: Far) -> None:
    from tests.conformance.rq_tasks import Canary

    name = key()
    far.queue.enqueue(f"{OWN}.meets", Canary(name), "a")
    far.queue.enqueue(ADD, 1, y=2)
    with unchanged(far.queue.name):
        first, second = far.found("peek")
    assert (first["name"], first["args"]) == (f"{OWN}.meets", None)
    assert (second["name"], second["args"]) == (ADD, {"args": [1], "kwargs": {"y": 2}})
    assert far.harness.told("hatched", name) == []


def test_peek_of_a_damaged_or_missing_job(far: Far) -> None:
    damaged, gone = far.queue.enqueue(ADD, 1, 1), far.queue.enqueue(ADD, 1, 1)
    far.redis.hset(f"rq:job:{damaged.id}", "data", "nonsense")
    far.redis.delete(f"rq:job:{gone.id}")
    first, second = far.found("peek")
    assert (first["id"], first["name"], first["args"]) == (damaged.id, ADD, None)
    assert (second["id"], second["args"]) == (gone.id, None)


def test_dead_jobs_say_why_redacted(linked: RqHarness) -> None:
    job_id = linked.send(call("fail", f"sesame-{key()}"))
    eventually(lambda: job_id in linked.dead())
    with unchanged(f"failed:{linked.queue}"):
        done = linked.order("dead", queue=linked.queue)
    newest = json.loads(done.found)[0]
    expected = "ValueError: cannot log in with password=[redacted: secret]"
    assert (newest["id"], newest["error"]) == (job_id, expected)
    assert b"sesame" not in done.found


def test_registries_are_read_without_being_cleaned_up(far: Far) -> None:
    """RQ's own reading would give an expired entry up."""
    job = far.queue.enqueue(ADD, 1, 1)
    far.fail(job)
    far.redis.zadd(f"rq:failed:{far.queue.name}", {job.id: 1})
    far.redis.zadd(f"rq:wip:{far.queue.name}", {job.id: 1})
    with unchanged(far.queue.name):
        assert [one["id"] for one in far.found("dead")] == [job.id]
        assert far.found("reconcile", job.id)["state"] == "failed"


def test_what_redis_says_of_a_job(far: Far) -> None:
    first, second = far.queue.enqueue(ADD, 1, 1), far.queue.enqueue(ADD, 2, 2)
    later = far.queue.enqueue_in(timedelta(minutes=5), ADD, 1, 1)
    assert "with 1 before it" in far.found("reconcile", second.id)["where"]
    assert far.found("reconcile", later.id)["state"] == "scheduled"
    far.queue.pop_job_id()
    assert "no worker will find it" in far.found("reconcile", first.id)["where"]
    far.redis.hset(f"rq:job:{first.id}", mapping={"status": "started", "worker_name": "w9"})
    said = far.found("reconcile", first.id)
    assert (said["state"], "w9, which is not heard of" in said["where"]) == ("running", True)
    assert far.commander.events(wire.TaskEvent) == []


# --- A worker ---


def test_pool_replaces_a_worker(make: Make) -> None:
    worker = make("worker-pool", "--num-workers", "1")
    name = worker.said[1].worker
    running = key()
    task_id = worker.send(call("sleep", running, 2))
    eventually(lambda: worker.told("sleeps", running))
    assert worker.able("restart").how == "native"
    assert not worker.order("restart", details=Details(worker=name)).verified
    eventually(lambda: worker.said[1].worker != name)
    worker.event(wire.TaskSucceeded, task_id)
    worker.event(wire.TaskSucceeded, worker.send(call("add", 1, 1)))
    assert worker.told("slept", running)
