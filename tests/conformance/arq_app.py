# SPDX-License-Identifier: AGPL-3.0-only
"""The tasks of `tasks.py` as arq jobs, which are coroutines. It imports nothing of ours."""

import asyncio
import gc
import os
from collections.abc import Callable
from typing import Any, ClassVar

import arq
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.worker import Retry, func
from tests.conformance import tasks

PLACE = "tests.conformance.tasks"
LIMIT_S = 1
OTHER_QUEUE = os.environ.get("TEST_OTHER_QUEUE", "")
SETTINGS = RedisSettings.from_dsn(tasks.BROKER)


def job_of(function: Any) -> Any:
    async def job(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return func(job, name=f"{PLACE}.{function.__name__}")


async def login(ctx: dict[str, Any], user: str, password: str) -> str:
    return user


async def fail(ctx: dict[str, Any], secret: str) -> None:
    tasks.fail(secret)


async def again(ctx: dict[str, Any], key: str) -> str:
    """arq runs nothing again for an exception of its own accord."""
    try:
        return tasks.again(key)
    except KeyError as error:
        raise Retry(defer=1) from error


async def sleep(ctx: dict[str, Any], key: str, seconds: float) -> str:
    tasks.told("sleeps", key, tasks.os.getpid())
    await asyncio.sleep(seconds)
    tasks.told("slept", key)
    return "slept"


async def sends_another(ctx: dict[str, Any]) -> str:
    job = await ctx["redis"].enqueue_job(f"{PLACE}.add", 2, 3)
    return str(job.job_id)


async def slots(ctx: dict[str, Any]) -> int:
    """How many jobs the worker of this queue runs at once."""
    workers = [one for one in gc.get_objects() if isinstance(one, arq.Worker)]
    return next(one.max_jobs for one in workers if one.queue_name == tasks.QUEUE)


def named(function: Any, **options: Any) -> Any:
    return func(function, name=options.pop("name", f"{PLACE}.{function.__name__}"), **options)


async def start_other(ctx: dict[str, Any]) -> None:
    """A worker of arq serves one queue: for a second one the process has a second worker."""
    if OTHER_QUEUE:
        ctx["other"] = asyncio.ensure_future(serve(OTHER_QUEUE, ctx["redis"]))


async def serve(queue: str, pool: ArqRedis) -> None:
    await asyncio.sleep(0.2)
    functions = WorkerSettings.functions
    worker = arq.Worker(
        functions, queue_name=queue, redis_pool=pool, handle_signals=False, poll_delay=0.05
    )
    await worker.async_run()


async def stop_other(ctx: dict[str, Any]) -> None:
    if OTHER_QUEUE:
        ctx["other"].cancel()
        await asyncio.gather(ctx["other"], return_exceptions=True)


class WorkerSettings:
    functions: ClassVar[list[Any]] = [
        job_of(tasks.add), job_of(tasks.note), job_of(tasks.digest), job_of(tasks.leaves),
        job_of(tasks.reports), job_of(tasks.forks),
        named(login), named(fail), named(again), named(sleep), named(sends_another), named(slots),
        named(sleep, name=f"{PLACE}.limited", timeout=LIMIT_S),
    ]  # fmt: skip
    redis_settings = SETTINGS
    queue_name = tasks.QUEUE
    poll_delay = 0.05
    keep_result = 300
    allow_abort_jobs = True
    on_startup = start_other
    on_shutdown = stop_other


async def connect(queue: str) -> ArqRedis:
    return await arq.create_pool(SETTINGS, default_queue_name=queue)


async def disconnect(pool: Any) -> None:
    """`aclose`, or what it was called before redis-py 5."""
    await getattr(pool, "aclose", pool.close)(close_connection_pool=True)


def in_loop(queue: str, work: Callable[[Any], Any]) -> Any:
    """Runs `work(connection)` as a script does."""

    async def run() -> Any:
        pool = await connect(queue)
        try:
            return await work(pool)
        finally:
            await disconnect(pool)

    return asyncio.run(run())


def send(queue: str, name: str, args: Any, kwargs: Any, **options: Any) -> str:
    """Its id. A time limit belongs to the function, so a limited call is one of another."""
    name = name.replace(".sleep", ".limited") if options.pop("limit", 0) else name
    given = {f"_{name}": value for name, value in options.items()}
    job = in_loop(queue, lambda pool: pool.enqueue_job(name, *args, **kwargs, **given))
    return str(job.job_id)


def cancel(queue: str, job_id: str) -> None:
    in_loop(queue, lambda pool: Job(job_id, pool, queue).abort(timeout=10, poll_delay=0.05))


def info(queue: str, job_id: str) -> Any:
    return in_loop(queue, lambda pool: Job(job_id, pool, queue).result_info())
