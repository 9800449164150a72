# SPDX-License-Identifier: Apache-2.0
"""Starts agent and arq adapter when a process shows that it sends jobs or works on them.

arq's hooks belong to the application's settings, know little and miss much (see `arq_jobs`), and an
exception in one stops the worker. So classes are patched once, after the import of `arq.worker`,
with their signatures kept: arq reads settings by `inspect.signature(Worker)`.

- `ArqRedis.enqueue_job`, `connections.serialize_job`: no hook on sending.
- `worker.func`: only the names of a function's parameters tell which one is a password.
- `Worker.__init__`, `heart_beat`: `on_startup` is the application's.
- `Worker.run_job`, `job_tasks`, `worker.deserialize_job_raw`, `Function.coroutine`: see above.
- `worker.serialize_result`, `Worker.finish_job`, `finish_failed_job`: see above.
- `Worker.run_cron`: nothing else tells a cron job from another.
- `Worker.start_jobs`: the last step before jobs are taken; arq has no pause of a queue.
"""

import asyncio
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

from queuedeck_agent import agent as agents
from queuedeck_agent.engines import sources
from queuedeck_agent.engines.arq import steps
from queuedeck_agent.engines.arq.adapter import ArqEngine
from queuedeck_agent.engines.arq.call import Functions, stamping
from queuedeck_agent.engines.arq.gate import Gate
from queuedeck_agent.engines.arq.jobs import Run
from queuedeck_agent.engines.arq.publish import Sending, running, sending
from queuedeck_agent.engines.patches import Method, Patches
from queuedeck_agent.guard import absorbed, contained


class Boot:
    """The adapters of this process, one for each Redis, made when first needed."""

    def __init__(self, start: Callable[[], agents.Agent | None]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._patches = Patches()
        self._functions = Functions()
        self._engines: dict[str, ArqEngine] = {}
        self._known: weakref.WeakKeyDictionary[Any, ArqEngine] = weakref.WeakKeyDictionary()

    def connect(self) -> None:
        """Patches the classes; that costs nothing until one of them is used."""
        from arq import connections, worker

        modules: Any = (connections, worker)
        wrap = self._patches.wrap
        wrap(connections.ArqRedis, "__init__", self._made)
        wrap(connections.ArqRedis, "enqueue_job", self._enqueue_job)
        wrap(modules[0], "serialize_job", self._serialize_job)
        wrap(worker.Worker, "__init__", self._worker_made)
        wrap(worker.Worker, "heart_beat", self._heart_beat)
        wrap(worker.Worker, "run_cron", steps.run_cron)
        wrap(worker.Worker, "start_jobs", self._start_jobs)
        wrap(worker.Worker, "run_job", self._run_job)
        wrap(worker.Worker, "finish_job", self._finish_job)
        wrap(worker.Worker, "finish_failed_job", self._finish_failed_job)
        wrap(modules[1], "func", self._func)
        wrap(modules[1], "deserialize_job_raw", self._deserialize_job)
        wrap(modules[1], "serialize_result", self._serialize_result)

    def unpatch(self) -> None:
        """Gives arq its own methods back; functions that were wrapped only pass through then."""
        self._patches.undo()

    def disconnect(self) -> None:
        """Takes everything away again."""
        self.unpatch()
        for engine in self._engines.values():
            engine.detach()
        self._engines.clear()
        self._known.clear()

    def engine_of(self, pool: Any) -> ArqEngine | None:
        """The adapter of a connection; None where there is no agent."""
        known = self._known.get(pool)
        if known is not None:
            return known
        with self._lock:
            agent = self._start()
            if agent is None:
                return None
            source = sources.name_source("arq", [sources.redis_url(pool)])
            engine = self._engines.get(source.key)
            if engine is None:
                engine = ArqEngine(source, self._functions)
                engine.attach(agent)
                self._engines[source.key] = engine
            agent.register(engine)
            self._known[pool] = engine
            return engine

    def adopt(self, pool: Any, engine: ArqEngine) -> None:
        """An adapter that somebody else has made and attached."""
        self._engines[engine.source.key] = engine
        self._known[pool] = engine

    @contained
    def warm(self) -> None:
        """Loads what the first job would wait for: a connection is made before the loop is busy."""
        agent = self._start()
        if agent is not None and agent.config.capture_args:
            agent.seals.preload()

    @contained
    def _works(self, worker: Any) -> None:
        engine = self.engine_of(worker.pool)
        if engine is not None and engine.publishing is not None and worker not in engine.workers:
            engine.workers[worker] = None
            agent = engine.publishing.agent
            agent.start_link("worker")
            agent.refresh_hello()

    @contained
    def _observe(self, worker: Any) -> None:
        for name, function in worker.functions.items():
            self._functions.learn(str(name), function.coroutine)
            if not hasattr(function.coroutine, "queuedeck_original"):
                self._observe_one(function)

    def _observe_one(self, function: Any) -> None:
        function.coroutine = self._observed(function.coroutine)

    @contained
    def _before(self, pool: Any, function: Any, args: Any, named: "dict[str, Any]") -> Any:
        engine = self.engine_of(pool)
        if engine is None or engine.publishing is None:
            return None
        engine.used(pool, asyncio.get_running_loop())
        agent = engine.publishing.agent
        if not agent.role:
            agent.start_link("producer")
        return engine.publishing.before(str(function), args, named)

    @contained
    def _after(
        self, pool: Any, function: Any, sent: Sending, job: Any, named: "dict[str, Any]"
    ) -> None:
        engine = self._known.get(pool)
        if engine is not None and engine.publishing is not None:
            queue = str(named.get("_queue_name") or pool.default_queue_name)
            engine.publishing.after(str(function), sent, str(job.job_id), queue, named)

    def _begin(self, worker: Any, job_id: str, score: int) -> Run | None:
        try:
            engine = self._known.get(worker.pool)
            if engine is None or worker not in engine.workers:
                self._works(worker)
                engine = self._known.get(worker.pool)
            if engine is None or engine.jobs is None:
                return None
            return Run(engine.jobs, worker, job_id, score)
        except Exception as error:
            if not absorbed(error, f"{__name__}.begin"):
                raise
            return None

    def _read(self, run: Run, found: Any) -> None:
        try:
            run.name = str(found[0])
            run.published_us = int(found[4] or 0) * 1_000
            function = run.worker.functions.get(run.name)
            if function is None:
                return
            if not hasattr(function.coroutine, "queuedeck_original"):
                self._observe_one(function)
            if run.name not in run.hooks.functions.hidden:
                run.hooks.functions.learn(run.name, function.coroutine)
        except Exception as error:
            if not absorbed(error, f"{__name__}.read"):
                raise

    def _keep(self, run: Run, message: Any, data: bytes) -> None:
        try:
            run.read(message, data)
        except Exception as error:
            if not absorbed(error, f"{__name__}.keep"):
                raise

    def _started(self, run: Run, ctx: Any, args: Any, kwargs: Any) -> None:
        try:
            run.hooks.started(run, ctx, args, kwargs)
        except Exception as error:
            if not absorbed(error, f"{__name__}.started"):
                raise

    def _ended(self, run: Run, task: "asyncio.Task[Any]") -> None:
        try:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                run.hooks.raised(run, error)
            else:
                run.hooks.returned(run, task.result())
        except Exception as mistake:
            if not absorbed(mistake, f"{__name__}.ended"):
                raise

    def _finished(self, run: Run, finish: bool) -> None:
        try:
            run.hooks.finished(run, finish)
        except Exception as error:
            if not absorbed(error, f"{__name__}.finished"):
                raise

    @contained
    def _refused(self, run: Run) -> None:
        run.hooks.refused(run)

    def _made(self, original: Method) -> Method:
        def init(pool: Any, *args: Any, **named: Any) -> None:
            original(pool, *args, **named)
            self.warm()

        return init

    def _func(self, original: Method) -> Method:
        def func(*args: Any, **named: Any) -> Any:
            made = original(*args, **named)
            self._learn(made)
            return made

        return func

    @contained
    def _learn(self, function: Any) -> None:
        self._functions.learn(str(function.name), function.coroutine)

    def _enqueue_job(self, original: Method) -> Method:
        async def enqueue_job(pool: Any, function: str, *args: Any, **named: Any) -> Any:
            sent = self._before(pool, function, args, named)
            if sent is None:
                return await original(pool, function, *args, **named)
            sending.set(sent)
            try:
                job = await original(pool, function, *args, **named)
            finally:
                sending.set(None)
            if job is not None:
                self._after(pool, function, sent, job, named)
            return job

        return enqueue_job

    def _serialize_job(self, original: Method) -> Method:
        def serialize_job(
            function_name: str,
            args: Any,
            kwargs: Any,
            job_try: int | None,
            enqueue_time_ms: int,
            *,
            serializer: Any = None,
        ) -> bytes:
            call = (function_name, args, kwargs, job_try, enqueue_time_ms)
            sent: Sending | None = sending.get()
            if sent is None:
                return original(*call, serializer=serializer)
            data = original(*call, serializer=stamping(serializer, sent.stamp))
            sent.written(enqueue_time_ms, job_try, data)
            return data

        return serialize_job

    def _worker_made(self, original: Method) -> Method:
        def init(worker: Any, *args: Any, **named: Any) -> None:
            original(worker, *args, **named)
            self.warm()
            self._observe(worker)
            worker.job_tasks = steps.JobTasks(worker.job_tasks, self._ended)

        return init

    def _heart_beat(self, original: Method) -> Method:
        async def heart_beat(worker: Any, *args: Any, **named: Any) -> Any:
            self._works(worker)
            return await original(worker, *args, **named)

        return heart_beat

    @contained
    def _gate(self, worker: Any) -> Gate | None:
        """A worker's first poll comes before its first heartbeat."""
        if worker.pool not in self._known:
            self._works(worker)
        engine = self._known.get(worker.pool)
        return None if engine is None else engine.gate

    @contained
    def _is_closed(self, gate: Gate, worker: Any) -> bool:
        return not gate.is_open(worker)

    def _start_jobs(self, original: Method) -> Method:
        async def start_jobs(worker: Any, job_ids: "list[bytes]") -> Any:
            gate = self._gate(worker) if job_ids else None
            if gate is None:
                return await original(worker, job_ids)
            if self._is_closed(gate, worker):
                return None
            gate.taking.add(worker)
            try:
                return await original(worker, job_ids)
            finally:
                gate.taking.discard(worker)

        return start_jobs

    def _run_job(self, original: Method) -> Method:
        async def run_job(worker: Any, job_id: str, score: int) -> Any:
            running.set(self._begin(worker, job_id, score))
            return await original(worker, job_id, score)

        return run_job

    def _deserialize_job(self, original: Method) -> Method:
        def deserialize_job_raw(r: bytes, *, deserializer: Any = None) -> Any:
            run: Run | None = running.get()
            if run is None:
                return original(r, deserializer=deserializer)

            def read(data: bytes) -> Any:
                message = (deserializer or pickle.loads)(data)
                self._keep(run, message, data)
                return message

            found = original(r, deserializer=read)
            self._read(run, found)
            return found

        return deserialize_job_raw

    def _observed(self, original: Method) -> Method:
        """Returns arq the function's own coroutine: no frame of ours gets into its traceback."""

        def coroutine(ctx: Any, *args: Any, **kwargs: Any) -> Any:
            run: Run | None = running.get()
            if run is not None and not run.started:
                self._started(run, ctx, args, kwargs)
            return original(ctx, *args, **kwargs)

        return steps.in_place_of(original, coroutine)

    def _serialize_result(self, original: Method) -> Method:
        def serialize_result(*args: Any, **named: Any) -> Any:
            run: Run | None = running.get()
            if run is not None:
                steps.note_result(run, args, named)
            return original(*args, **named)

        return serialize_result

    def _finish_job(self, original: Method) -> Method:
        async def finish_job(worker: Any, job_id: str, finish: bool, *args: Any, **n: Any) -> Any:
            run: Run | None = running.get()
            if run is not None and run.job_id == job_id:
                self._finished(run, finish)
            return await original(worker, job_id, finish, *args, **n)

        return finish_job

    def _finish_failed_job(self, original: Method) -> Method:
        async def finish_failed_job(worker: Any, job_id: str, *args: Any, **named: Any) -> Any:
            run: Run | None = running.get()
            if run is not None and run.job_id == job_id:
                self._refused(run)
            return await original(worker, job_id, *args, **named)

        return finish_failed_job
