# SPDX-License-Identifier: AGPL-3.0-only
"""Verbs of arq where they meet its own ways: marks, scores, tries, and a semaphore."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arq import constants
from redis.exceptions import WatchError
from tests.agent.engines.test_arq_commands import Far
from tests.support.celery_worker import eventually

from queuedeck_agent import wire
from queuedeck_agent.engines.arq import redis as arq_redis
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    far = Far(tmp_path / "far", f"v{tmp_path.name}", ",".join(sorted(set(wire.VERBS.values()))))
    yield far
    far.close()


def mark(far: Far, job_id: str) -> str:
    """As a worker does that takes it."""
    key = constants.in_progress_key_prefix + job_id
    far.run(far.pool.set(key, b"1", ex=60))
    return key


async def sleep(ctx: dict[str, Any], seconds: float = 30) -> None:
    await asyncio.sleep(seconds)


async def fail(ctx: dict[str, Any]) -> None:
    raise ValueError("no")


async def add(ctx: dict[str, Any], x: int, y: int = 0) -> int:
    return x + y


def state(far: Far, job_id: str) -> dict[str, str]:
    return json.loads(far.execute("reconcile", job_id, "add", queue=far.queue).found)


def test_worker_that_has_looked_does_not_get_a_removed_job(far: Far) -> None:
    job_id = far.send("add", 1)

    async def race() -> None:
        async with far.pool.pipeline(transaction=True) as pipe:  # as `Worker.start_jobs` does
            key = constants.in_progress_key_prefix + job_id
            await pipe.watch(key)
            assert not await pipe.exists(key)
            assert await pipe.zscore(far.queue, job_id)
            found = await arq_redis.remove(far.pool, [far.queue], job_id)
            assert isinstance(found, arq_redis.Taken)
            pipe.multi()
            pipe.psetex(key, 1_000, b"1")
            await pipe.execute()

    with pytest.raises(WatchError):
        far.run(race())


def test_purge_takes_only_what_is_due_and_free(far: Far) -> None:
    running, later = far.send("add", 1), far.send("add", 2, _defer_by=60)
    gone = [far.send("add", n) for n in range(3)]
    far.run(far.pool.incr(constants.retry_key_prefix + gone[0]))
    far.run(far.pool.zadd(constants.abort_jobs_ss, {gone[1]: 1}))
    key = mark(far, running)
    done = far.execute("purge", "", "", queue=far.queue)
    assert (done.affected, done.verified) == (3, True)
    left = {one.decode() for one in far.run(far.pool.zrange(far.queue, 0, -1))}
    assert left == {running, later}
    told = {one.task_id: one.attempt for one in far.events(wire.TaskCancelled)}
    assert told == {gone[0]: 2, gone[1]: 1, gone[2]: 1}
    kinds = (constants.job_key_prefix, constants.retry_key_prefix)
    assert not far.run(far.pool.exists(*(kind + one for kind in kinds for one in gone)))
    assert far.run(far.pool.zscore(constants.abort_jobs_ss, gone[1])) is None
    far.run(far.pool.delete(key))


def test_purge_of_more_than_one_script_is_exact(far: Far) -> None:
    """The running ones are first in the queue, and are met in each round."""
    count = arq_redis.CHUNK + 20

    async def send() -> None:
        for n in range(count):
            await far.pool.enqueue_job("add", n)

    far.run(send())
    first = far.run(far.pool.zrange(far.queue, 0, 4))
    keys = [mark(far, one.decode()) for one in first]
    done = far.execute("purge", "", "", queue=far.queue)
    assert (done.affected, done.verified) == (count - 5, True)
    assert len({one.task_id for one in far.events(wire.TaskCancelled)}) == count - 5
    assert far.run(far.pool.zrange(far.queue, 0, -1)) == first
    far.run(far.pool.delete(*keys))


def test_jobs_are_purged_or_run_while_a_worker_takes_them(far: Far) -> None:
    """Each one exactly one of both."""
    far.work(add, max_jobs=50)

    async def send() -> list[str]:
        jobs = [await far.pool.enqueue_job("add", n) for n in range(400)]
        return [job.job_id for job in jobs if job is not None]

    sent = far.run(send())
    done = far.execute("purge", "", "", queue=far.queue)
    eventually(lambda: far.run(far.pool.zcard(far.queue)) == 0)
    purged = [one.task_id for one in far.events(wire.TaskCancelled)]
    eventually(lambda: len(far.events(wire.TaskSucceeded)) + len(purged) == len(sent))
    ran = [one.task_id for one in far.events(wire.TaskStarted)]
    assert done.affected == len(purged) > 0
    assert sorted(ran + purged) == sorted(sent)
    assert far.events(wire.TaskFailed) == []


def test_job_is_moved_with_its_moment_unless_it_runs(far: Far) -> None:
    job_id, other = far.send("add", 1, _defer_by=60), f"{far.queue}-other"
    score = far.run(far.pool.zscore(far.queue, job_id))
    key = mark(far, job_id)
    with pytest.raises(CommandRefused, match="running"):
        far.execute("move", job_id, "add", queue=far.queue, target=other)
    far.run(far.pool.delete(key))
    assert far.execute("move", job_id, "add", queue=far.queue, target=other).verified
    assert far.run(far.pool.zscore(other, job_id)) == score
    assert far.run(far.pool.zscore(far.queue, job_id)) is None
    again = far.execute("move", job_id, "add", queue=other, target=other)
    assert "already" in again.effect
    assert far.run(far.pool.zscore(other, job_id)) == score
    far.execute("cancel", job_id, "add", queue=other)


def test_job_is_not_lost_when_the_target_is_no_queue(far: Far) -> None:
    job_id, other = far.send("add", 1), f"{far.queue}-text"
    far.run(far.pool.set(other, "a text"))
    with pytest.raises(Exception, match="WRONGTYPE"):
        far.execute("move", job_id, "add", queue=far.queue, target=other)
    assert far.run(far.pool.zscore(far.queue, job_id)) is not None
    far.run(far.pool.delete(other))


def test_submit_takes_no_options_of_arq_and_no_unknown_name(far: Far) -> None:
    far.engine.functions.learn("shop.add", add)
    with pytest.raises(CommandRefused, match=r"`shop\.add`"):
        far.execute("submit", "", "shop.ad", args=b'{"args": [1]}')
    with pytest.raises(CommandRefused, match="_job_id"):
        far.execute("submit", "", "shop.add", args=b'{"kwargs": {"_job_id": "mine"}}')
    assert far.run(far.pool.zcard(far.queue)) == 0


def test_process_that_knows_no_functions_does_not_submit(far: Far) -> None:
    with pytest.raises(CommandRefused, match="Only workers know") as refusal:
        far.execute("submit", "", "add", args=b"{}")
    assert refusal.value.code == "unsupported"


def test_edited_call_goes_where_and_when_it_is_told(far: Far) -> None:
    far.send("add", x=1, y=2)
    (first,) = far.events(wire.TaskPublished)
    other = f"{far.queue}-other"
    sent: dict[str, Any] = {"args": b'{"kwargs": {"x": 1, "y": 3}}', "delay_s": 60, "target": other}
    done = far.execute("edit", first.task_id, "add", first.sealed, **sent)
    score = far.run(far.pool.zscore(other, done.new_task_id))
    assert score / 1_000 - time.time() > 50
    published = far.events(wire.TaskPublished)[-1]
    assert (published.queue, published.retry_of) == (other, first.task_id)
    assert json.loads(published.args) == {"args": [], "kwargs": {"x": 1, "y": 3}}
    with pytest.raises(CommandRefused, match="no priorities"):
        far.execute("edit", first.task_id, "add", first.sealed, args=sent["args"], priority=3)
    far.execute("cancel", done.new_task_id, "add", queue=other)


def test_reconcile_reads_what_arq_has(far: Far) -> None:
    later = far.send("add", 1, _defer_by=60)
    assert state(far, later)["state"] == "scheduled"
    far.work(add, fail)
    good, bad = far.send("add", 1), far.send("fail")
    eventually(lambda: far.events(wire.TaskSucceeded) and far.events(wire.TaskFailed))
    eventually(lambda: state(far, good)["state"] == "succeeded")
    eventually(lambda: state(far, bad)["state"] == "failed")
    assert "ValueError" in state(far, bad)["where"]
    assert far.run(far.pool.exists(constants.result_key_prefix + good))
    held = far.send("add", 1, _queue_name=f"{far.queue}-other")
    key = mark(far, held)
    assert state(far, held)["state"] == "running"
    far.run(far.pool.delete(key))
    far.execute("cancel", held, "add", queue=f"{far.queue}-other")


def test_pause_is_met_by_the_first_poll_of_a_new_worker(far: Far) -> None:
    far.agent.paused.add(far.engine.source.key, far.queue)
    job_id = far.send("add", 1)
    far.work(add)
    assert stays(lambda: not far.events(wire.TaskStarted), 0.5)
    assert far.worker.allow_pick_jobs
    assert "again" in far.execute("resume", "", "", queue=far.queue).effect
    eventually(lambda: far.events(wire.TaskSucceeded))
    assert [one.task_id for one in far.events(wire.TaskSucceeded)] == [job_id]


def test_pool_grows_beyond_its_start_while_jobs_run(far: Far) -> None:
    far.work(sleep, max_jobs=1)
    jobs = [far.send("sleep") for _ in range(5)]
    eventually(lambda: len(far.events(wire.TaskStarted)) == 1)
    far.execute("pool", "", "", amount=3)
    eventually(lambda: len(far.events(wire.TaskStarted)) == 4)
    assert stays(lambda: len(far.events(wire.TaskStarted)) == 4, 0.3)
    far.execute("pool", "", "", amount=-3)
    assert far.engine.info().slots == 1
    with pytest.raises(CommandRefused, match="drain"):
        far.execute("pool", "", "", amount=-1)
    for started in far.events(wire.TaskStarted)[:3]:
        assert far.execute("terminate", started.task_id, "sleep").verified
    assert stays(lambda: len(far.events(wire.TaskStarted)) == 4, 0.3)
    last = far.events(wire.TaskStarted)[3].task_id
    assert far.execute("terminate", last, "sleep").verified
    eventually(lambda: len(far.events(wire.TaskStarted)) == 5)
    assert {one.task_id for one in far.events(wire.TaskStarted)} == set(jobs)


def test_drained_worker_is_one_of_its_process(far: Far) -> None:
    """Two workers of one process: each has a name of its own."""
    far.work(add)
    eventually(lambda: list(far.engine.workers))
    name = far.engine.info().worker
    with pytest.raises(CommandRefused, match="another worker"):
        far.execute("drain", "", "", worker=f"not-{name}")
    far.execute("drain", "", "", worker=name)
    far.send("add", 1)
    assert stays(lambda: not far.events(wire.TaskStarted), 0.4)
    assert "takes jobs again" in far.execute("undrain", "", "", worker=name).effect
    eventually(lambda: far.events(wire.TaskSucceeded))
    assert "was not drained" in far.execute("undrain", "", "", worker=name).effect


def test_peek_passes_over_what_runs_and_what_cannot_be_read(far: Far) -> None:
    running, waits, odd = (far.send("add", n) for n in range(3))
    key = mark(far, running)
    far.run(far.pool.set(constants.job_key_prefix + odd, b"nonsense"))
    seen = json.loads(far.execute("peek", "", "", queue=far.queue).found)
    assert {one["id"] for one in seen} == {waits, odd}
    assert {one["id"]: one.get("name", "") for one in seen} == {waits: "add", odd: ""}
    far.run(far.pool.delete(key))
