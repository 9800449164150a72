# SPDX-License-Identifier: Apache-2.0
"""Starts agent and Huey adapter when a process shows that it sends or consumes tasks.

Huey's hooks are per instance, so classes are patched once, after the import of `huey.api`:

- `Huey.enqueue`: the signal `enqueued` comes before the storage, and not in 2.5.0 to 2.5.2.
- `Huey._emit`: a raising receiver silences those after it up to 2.5.5; here all are heard, first.
- `Huey.execute`: only its return tells whether a failed attempt is tried again, and when.
- `Huey.dequeue`, `read_schedule`, `deserialize_task`, `serialize_task`: no hook on messages.
- `Serializer._serialize`, `_deserialize`: see `huey_stamp`.
- `Scheduler.enqueue_periodic_tasks`: no signal tells a periodic task from a call of it.
- `Consumer.start`, `check_worker_health`: the hooks of start run in workers, not before the fork.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Any

from queuedeck_agent import agent as agents
from queuedeck_agent.engines.huey import stamp as huey_stamp
from queuedeck_agent.engines.huey import watch as huey_watch
from queuedeck_agent.engines.huey.adapter import HueyEngine
from queuedeck_agent.engines.huey.publish import Sending, group, new_group, running, scheduling
from queuedeck_agent.engines.huey.source import find_source
from queuedeck_agent.engines.huey.tasks import Run
from queuedeck_agent.engines.patches import Method, Patches
from queuedeck_agent.guard import contained


class Boot:
    """The adapters of this process, one for each storage, made when first needed."""

    def __init__(self, start: Callable[[], agents.Agent | None]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._patches = Patches()
        self._engines: dict[str, HueyEngine] = {}
        self._known: weakref.WeakKeyDictionary[Any, HueyEngine] = weakref.WeakKeyDictionary()
        self._reading = threading.local()

    def connect(self) -> None:
        """Patches the classes; that costs nothing until one of them is used."""
        from huey import api, consumer, serializer

        wrap = self._patches.wrap
        wrap(api.Huey, "enqueue", self._enqueue)
        wrap(api.Huey, "_emit", self._emit)
        wrap(api.Huey, "execute", self._execute)
        wrap(api.Huey, "dequeue", lambda original: self._gated(self._taking(original)))
        wrap(api.Huey, "read_schedule", self._taking)
        wrap(api.Huey, "serialize_task", self._serialize_task)
        wrap(api.Huey, "deserialize_task", self._deserialize_task)
        wrap(serializer.Serializer, "_serialize", huey_stamp.writing)
        wrap(serializer.Serializer, "_deserialize", huey_stamp.reading)
        wrap(consumer.Scheduler, "enqueue_periodic_tasks", _periodic)
        wrap(consumer.Consumer, "start", self._consumer_starts)
        wrap(consumer.Consumer, "check_worker_health", self._workers_are_checked)

    def disconnect(self) -> None:
        """Takes everything away again."""
        self._patches.undo()
        for engine in self._engines.values():
            engine.detach()
        self._engines.clear()
        self._known.clear()

    def engine_of(self, huey: Any) -> HueyEngine | None:
        """The adapter of an instance that sends or consumes; None where there is no agent."""
        known = self._known.get(huey)
        if known is not None:
            return known
        with self._lock:
            agent = self._start()
            if agent is None:
                return None
            source = find_source(huey.storage)
            engine = self._engines.get(source.key)
            if engine is None:
                engine = HueyEngine(source)
                engine.attach(agent)
                self._engines[source.key] = engine
            engine.add(huey)
            agent.register(engine)
            self._known[huey] = engine
            return engine

    def adopt(self, huey: Any, engine: HueyEngine) -> None:
        """An adapter that somebody else has made and attached."""
        engine.add(huey)
        self._engines[engine.source.key] = engine
        self._known[huey] = engine

    @contained
    def _begins_to_consume(self, consumer: Any) -> None:
        engine = self.engine_of(consumer.huey)
        if engine is not None:
            engine.consume(consumer)

    @contained
    def _before(self, huey: Any, task: Any) -> Sending | None:
        # Immediate mode is a function call in disguise: nothing is sent.
        if huey._immediate:
            return None
        engine = self.engine_of(huey)
        if engine is None or engine.publishing is None:
            return None
        agent = engine.publishing.agent
        if not agent.role:
            agent.start_link("producer")
        return engine.publishing.before(huey, task)

    @contained
    def _after(self, huey: Any, task: Any, sending: Sending) -> None:
        engine = self._known.get(huey)
        if engine is not None and engine.publishing is not None:
            engine.publishing.after(huey, task, sending)

    @contained
    def _told(self, huey: Any, signal: str, task: Any) -> None:
        engine = self._known.get(huey)
        if engine is not None and engine.tasks is not None and not huey._immediate:
            engine.tasks.told(huey, signal, task)

    @contained
    def _begin(self, huey: Any, task: Any) -> Run | None:
        if huey._immediate:
            return None
        engine = self.engine_of(huey)
        return engine.tasks.begin(huey, task) if engine is not None and engine.tasks else None

    @contained
    def _end(self, huey: Any, task: Any, run: Run, broken: BaseException | None) -> None:
        engine = self._known.get(huey)
        if engine is not None and engine.tasks is not None:
            engine.tasks.end(task, run, broken, huey.utc)

    @contained
    def _arrived(self, huey: Any, task: Any, data: Any) -> None:
        engine = self._known.get(huey)
        if engine is not None and engine.tasks is not None:
            engine.tasks.arrived(huey, task, data, huey_stamp.passing.incoming)

    @contained
    def _unreadable(self, huey: Any, error: BaseException) -> None:
        engine = self._known.get(huey)
        if engine is not None and engine.tasks is not None:
            passing = huey_stamp.passing
            engine.tasks.unreadable(passing.incoming, passing.message, error)

    def _enqueue(self, original: Method) -> Method:
        def enqueue(huey: Any, task: Any) -> Any:
            if not hasattr(task, "revoke_id"):  # a group or a chord: its members come here again
                token = group.set(group.get() or new_group())
                try:
                    return original(huey, task)
                finally:
                    group.reset(token)
            sending = self._before(huey, task)
            result = original(huey, task)
            if sending is not None:
                self._after(huey, task, sending)
            return result

        return enqueue

    def _emit(self, original: Method) -> Method:
        def _emit(huey: Any, signal: str, task: Any, *args: Any, **named: Any) -> Any:
            self._told(huey, signal, task)
            return original(huey, signal, task, *args, **named)

        return _emit

    def _execute(self, original: Method) -> Method:
        def execute(huey: Any, task: Any, *args: Any, **named: Any) -> Any:
            run = self._begin(huey, task)
            if run is None:
                return original(huey, task, *args, **named)
            token = running.set(run)
            try:
                result = original(huey, task, *args, **named)
            except BaseException as error:
                self._end(huey, task, run, error)
                raise
            finally:
                running.reset(token)
            self._end(huey, task, run, None)
            return result

        return execute

    def _taking(self, original: Method) -> Method:
        def take(huey: Any, *args: Any, **named: Any) -> Any:
            self._reading.taken = True
            try:
                return original(huey, *args, **named)
            finally:
                self._reading.taken = False

        return take

    def _gated(self, take: Method) -> Method:
        """Nothing is taken while the queue is paused, or the consumer is drained."""

        def dequeue(huey: Any, *args: Any, **named: Any) -> Any:
            return None if self._waits(huey) else take(huey, *args, **named)

        return dequeue

    @contained
    def _waits(self, huey: Any) -> bool:
        engine = self._known.get(huey)
        gate = engine.gate if engine is not None else None
        if gate is None or not gate.is_shut(str(huey.name)):
            return False
        gate.wait()
        return True

    def _serialize_task(self, original: Method) -> Method:
        def serialize_task(huey: Any, task: Any) -> bytes:
            mark = huey_stamp.mark_of(task)
            huey_stamp.passing.outgoing = mark.stamp if mark is not None else None
            try:
                data = original(huey, task)
            finally:
                huey_stamp.passing.outgoing = None
            if mark is not None and not mark.arrived:
                mark.data = data
            return data

        return serialize_task

    def _deserialize_task(self, original: Method) -> Method:
        def deserialize_task(huey: Any, data: Any) -> Any:
            huey_stamp.passing.incoming = huey_stamp.passing.message = None
            try:
                task = original(huey, data)
            except Exception as error:
                if getattr(self._reading, "taken", False):
                    self._unreadable(huey, error)
                raise
            self._arrived(huey, task, data)
            return task

        return deserialize_task

    def _consumer_starts(self, original: Method) -> Method:
        def start(consumer: Any, *args: Any, **named: Any) -> Any:
            self._begins_to_consume(consumer)
            result = original(consumer, *args, **named)
            self._link(consumer)
            return result

        return start

    @contained
    def _link(self, consumer: Any) -> None:
        """The workers are forked: time for the link's thread."""
        engine = self._known.get(consumer.huey)
        if engine is not None and engine.tasks is not None:
            engine.tasks.agent.start_link("worker")
            engine.tasks.agent.refresh_hello()

    def _workers_are_checked(self, original: Method) -> Method:
        def check_worker_health(consumer: Any, *args: Any, **named: Any) -> Any:
            self._look_for_dead(consumer)
            return original(consumer, *args, **named)

        return check_worker_health

    @contained
    def _look_for_dead(self, consumer: Any) -> None:
        engine = self._known.get(consumer.huey)
        if engine is not None and engine.tasks is not None and engine.pool == "process":
            huey_watch.report_dead(consumer, engine.tasks)


def _periodic(original: Method) -> Method:
    def enqueue_periodic_tasks(scheduler: Any, *args: Any, **named: Any) -> Any:
        scheduling.periodic = True
        try:
            return original(scheduler, *args, **named)
        finally:
            scheduling.periodic = False

    return enqueue_periodic_tasks
