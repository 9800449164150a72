# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel in the event loop of this process: done, verified, or refused with a reason."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arq
import pytest
from arq import constants
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job, JobStatus
from benchmarks import payload
from tests.support import spool
from tests.support.arq_worker import Worker
from tests.support.celery_worker import BROKER, eventually

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.arq.adapter import ArqEngine
from queuedeck_agent.engines.arq.boot import Boot
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


class Far:
    """An application in this process: an agent, an event loop in a thread, one connection."""

    def __init__(self, folder: Path, queue: str, allow: str) -> None:
        environment = {"QUEUEDECK_SPOOL": str(folder), "QUEUEDECK_ALLOW": allow}
        self.agent = Agent(config.from_env({"QUEUEDECK_DSN": spool.dsn(), **environment}))
        self.boot = Boot(lambda: self.agent)
        self.boot.connect()
        self.folder = folder
        self.queue = queue
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        settings = RedisSettings.from_dsn(BROKER)
        self.pool: ArqRedis = self.run(arq.create_pool(settings, default_queue_name=queue))
        self.worker: Any = None
        engine = self.boot.engine_of(self.pool)
        assert engine is not None
        self.engine: ArqEngine = engine
        engine.used(self.pool, self.loop)

    def run(self, work: Any) -> Any:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)

    def send(self, name: str, *args: Any, **options: Any) -> str:
        job = self.run(self.pool.enqueue_job(name, *args, **options))
        return job.job_id

    def status(self, job_id: str) -> JobStatus:
        return self.run(Job(job_id, self.pool, self.queue).status())

    def work(self, *functions: Any, **options: Any) -> None:
        """A worker in the same loop, as one in a web application."""

        async def work() -> Any:
            worker = arq.Worker(
                functions, queue_name=self.queue, redis_pool=self.pool, handle_signals=False,
                poll_delay=0.05, **options,
            )  # fmt: skip
            return worker, asyncio.ensure_future(worker.async_run())

        self.worker, self.main = self.run(work())

    def execute(
        self,
        verb: str,
        job_id: str,
        name: str,
        sealed: bytes = b"",
        queue: str = "",
        target: str = "",
        **details: Any,
    ) -> wire.CommandDone:
        source = self.engine.source.key
        call = self.agent.seals.open("shop", source, name, job_id, sealed) if sealed else b""
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, job_id, name, 60, queue=queue,
            details=wire.CommandDetails(queue=target, **details),
        )  # fmt: skip
        return self.engine.execute(command, call)

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in spool.events(self.folder) if isinstance(event, kind)]

    def close(self) -> None:
        async def stop() -> None:
            if self.worker is not None:
                self.main.cancel()
                for task in self.worker.tasks.values():
                    task.cancel()
                await asyncio.gather(self.main, *self.worker.tasks.values(), return_exceptions=True)
            for key in await self.pool.zrange(self.queue, 0, -1):
                await self.pool.delete(constants.job_key_prefix + key.decode())
            await self.pool.delete(self.queue)
            close: Any = getattr(self.pool, "aclose", self.pool.close)  # before redis-py 5
            await close(close_connection_pool=True)

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        self.boot.disconnect()
        self.agent.stop(0)


ALLOW = "observe,retry,cancel"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    far = Far(tmp_path / "far", f"t{tmp_path.name}", ALLOW)
    yield far
    far.close()


@pytest.fixture
def free(tmp_path: Path) -> Iterator[Far]:
    far = Far(tmp_path / "free", f"t{tmp_path.name}free", f"{ALLOW},terminate")
    yield far
    far.close()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("arq")).start()
    yield worker
    worker.close()


@pytest.mark.parametrize("how", ["attached", "send"])
def test_retry_runs_again_with_the_original_arguments(worker: Worker, far: Far, how: str) -> None:
    first = getattr(worker, how)(f"send('digest', *{payload.ARGS!r}, **{payload.KWARGS!r})")
    worker.event(wire.TaskSucceeded, first)
    kind: Any = wire.TaskPublished if how == "attached" else wire.TaskStarted
    done = far.execute("retry", first, "digest", worker.event(kind, first).sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    told = [line[1:] for line in worker.told("digest") if line[1] in (first, done.new_task_id)]
    assert told == [[first, digest], [done.new_task_id, digest]]
    assert done.verified
    (published,) = far.events(wire.TaskPublished)
    assert (published.retry_of, published.task_id) == (first, done.new_task_id)
    assert published.queue == worker.queue
    assert payload.SECRET.encode() not in spool.whole_bytes(far.folder)
    again = far.execute("retry", done.new_task_id, "digest", published.sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_retry_of_nonsense_is_refused(far: Far) -> None:
    command = wire.CommandBody("0" * 32, "", b"", "shop", "retry", "", "x", "add", 60)
    with pytest.raises(CommandRefused, match="cannot be read"):
        far.engine.execute(command, b"nonsense")
    job_id = far.send("add", 1, 2)
    sealed = far.events(wire.TaskPublished)[0].sealed

    def read(data: bytes) -> dict[str, Any]:
        return {"v": len(data)}

    far.pool.job_deserializer = read
    with pytest.raises(CommandRefused, match="cannot read the call any more"):
        far.execute("retry", job_id, "add", sealed)
    assert len(far.events(wire.TaskPublished)) == 1


@pytest.mark.parametrize("options", [{}, {"_defer_by": 60}, {"_queue_name": "other"}])
def test_waiting_job_is_taken_out(far: Far, options: dict[str, Any]) -> None:
    queue = far.queue + options.get("_queue_name", "")
    options = {**options, "_queue_name": queue}
    kept, gone = far.send("add", 1, **options), far.send("add", 2, **options)
    done = far.execute("cancel", gone, "add", queue=queue)
    assert done.verified
    left = far.run(far.pool.zrange(queue, 0, -1))
    assert [one.decode() for one in left] == [kept]
    assert not far.run(far.pool.exists(constants.job_key_prefix + gone))
    (cancelled,) = far.events(wire.TaskCancelled)
    assert (cancelled.task_id, cancelled.reason, cancelled.attempt) == (gone, "revoked", 1)
    far.run(far.pool.delete(queue, constants.job_key_prefix + kept))


def test_job_that_a_worker_has_is_not_taken_out(far: Far) -> None:
    job_id = far.send("add", 1)
    key = constants.in_progress_key_prefix + job_id
    far.run(far.pool.set(key, b"1", ex=60))
    with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW"):
        far.execute("cancel", job_id, "add")
    assert far.status(job_id) is JobStatus.in_progress
    far.run(far.pool.delete(key))


def test_job_that_has_ended_cannot_be_cancelled(far: Far) -> None:
    with pytest.raises(CommandRefused, match="in no queue"):
        far.execute("cancel", "never-was", "add")


async def sleep(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(30)


def test_running_job_is_not_stopped_without_permission(far: Far) -> None:
    far.work(sleep)
    job_id = far.send("sleep")
    eventually(lambda: far.events(wire.TaskStarted))
    with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW"):
        far.execute("cancel", job_id, "sleep")
    assert far.events(wire.TaskCancelled) == []


def test_running_job_is_stopped_where_the_host_allows(free: Far) -> None:
    free.work(sleep)
    job_id = free.send("sleep")
    eventually(lambda: free.events(wire.TaskStarted))
    done = free.execute("cancel", job_id, "sleep")
    assert done.verified
    eventually(lambda: free.events(wire.TaskCancelled))
    assert [one.reason for one in free.events(wire.TaskCancelled)] == ["terminated"]
    eventually(lambda: free.status(job_id) is JobStatus.complete)


@pytest.mark.parametrize("allowed", [False, True])
def test_job_of_another_worker_is_aborted_where_arq_can(free: Far, allowed: bool) -> None:
    free.work(sleep, allow_abort_jobs=allowed)
    eventually(lambda: list(free.engine.workers))
    job_id = free.send("elsewhere", _queue_name=f"{free.queue}other")
    key = constants.in_progress_key_prefix + job_id
    free.run(free.pool.set(key, b"1", ex=60))
    if allowed:
        assert not free.execute("terminate", job_id, "elsewhere").verified
        assert free.run(free.pool.zscore(constants.abort_jobs_ss, job_id)) is not None
        free.run(free.pool.zrem(constants.abort_jobs_ss, job_id))
    else:
        with pytest.raises(CommandRefused, match="allow_abort_jobs"):
            free.execute("terminate", job_id, "elsewhere")
    free.run(free.pool.delete(key, f"{free.queue}other", constants.job_key_prefix + job_id))


def test_process_whose_loop_has_ended_refuses(far: Far) -> None:
    loop = asyncio.new_event_loop()
    far.engine.used(far.pool, loop)
    loop.close()
    with pytest.raises(CommandRefused, match="no event loop that runs"):
        far.execute("cancel", "x", "add")


def test_info_and_capabilities_describe_the_worker(far: Far) -> None:
    assert (far.engine.info().role, far.engine.info().slots) == ("producer", 0)
    assert {one.verb: one.how for one in far.engine.capabilities()}["terminate"] == "none"
    far.work(sleep, max_jobs=7)
    eventually(lambda: far.engine.info().role == "worker")
    info = far.engine.info()
    assert (info.engine, info.slots, info.queues, info.tasks) == (
        "arq", 7, (far.queue,), ("sleep",),
    )  # fmt: skip
    found = {one.verb: one for one in far.engine.capabilities()}
    assert {found[verb].how for verb in ("retry", "cancel", "terminate")} == {"emulated"}
    assert all(one.reason for one in found.values() if one.how != "native")
    assert found.keys() == wire.VERBS.keys()
    with pytest.raises(CommandRefused, match="no rate limits"):
        far.execute("rate", "", "add")


def test_settings_are_still_read_by_signature_and_undone(far: Far) -> None:
    from arq.worker import get_kwargs

    assert get_kwargs({"queue_name": "q", "nonsense": 1}) == {"queue_name": "q"}
    before = len(far.events(wire.TaskEvent))
    far.boot.disconnect()
    far.send("add", 1)
    assert len(far.events(wire.TaskEvent)) == before
