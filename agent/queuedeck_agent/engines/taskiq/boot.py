# SPDX-License-Identifier: Apache-2.0
"""Puts our middleware into every broker and a step around the receiver; starts the adapter."""

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from taskiq.abc.broker import AsyncBroker
from taskiq.abc.middleware import TaskiqMiddleware

from queuedeck_agent import agent as agents
from queuedeck_agent.engines.patches import Patches
from queuedeck_agent.engines.taskiq import run as taskiq_run
from queuedeck_agent.engines.taskiq import source as taskiq_source
from queuedeck_agent.engines.taskiq.adapter import TaskiqEngine
from queuedeck_agent.engines.taskiq.line import Line
from queuedeck_agent.engines.taskiq.run import Delivery
from queuedeck_agent.guard import contained

Start = Callable[[], "agents.Agent | None"]

STOP_S = 1.0
"""What a worker waits for at its end while the last events are sent; the rest is in the spool."""
_finding = threading.Lock()
PATCHES = Patches()
"""Of the classes of taskiq, in this process."""


class Boot:
    """For one broker: its line, once the broker is used."""

    def __init__(self, broker: Any, start: Start) -> None:
        self.broker = broker
        self.line: Line | None = None
        self._start = start
        self._lock = threading.Lock()

    @contained
    def ready(self, role: str) -> Line | None:
        """Starts agent and adapter at the first call; called on the broker's event loop."""
        with self._lock:
            agent = self._start()
            if agent is None:
                return None
            engine = _engine_for(agent, self.broker)
            line = self.line
            if line is None:
                line = self.line = engine.add(agent, self.broker, role)
            if line.role != "worker":
                line.role = role
            line.loop = asyncio.get_running_loop()
            agent.register(engine)
            agent.start_link(role)
            return line

    def role(self) -> str:
        """What taskiq says this process is."""
        if self.broker.is_worker_process:
            return "worker"
        return "scheduler" if self.broker.is_scheduler_process else "producer"


class Hooks(TaskiqMiddleware):
    """First in the list. All it overrides is called by taskiq; a hook that raises loses a task."""

    def __init__(self, boot: Boot) -> None:
        super().__init__()
        self.boot = boot

    def startup(self) -> None:
        """The broker is used: in a worker, a scheduler, or a web process that will send."""
        self.boot.ready(self.boot.role())

    async def shutdown(self) -> None:
        """Worker processes are forks and end with os._exit: nothing of `atexit` runs in them."""
        agent = agents.current()
        if agent is not None and self.boot.broker.is_worker_process:
            await asyncio.to_thread(contained(agent.stop), STOP_S)

    def pre_send(self, message: Any) -> Any:
        """Of producers that never call `startup` this is the first sign."""
        self._before(message)
        return message

    @contained
    def _before(self, message: Any) -> None:
        line = self.boot.line or self.boot.ready(self.boot.role())
        if line is not None:
            line.loop = asyncio.get_running_loop()
            line.sending.before(message)

    @contained
    def post_send(self, message: Any) -> None:
        """The broker took the message."""
        if self.boot.line is not None:
            self.boot.line.sending.after(message)

    def pre_execute(self, message: Any) -> Any:
        """The worker knows the task."""
        delivery = taskiq_run.delivery.get()
        if delivery is not None:
            delivery.message = message
        return message

    def on_error(self, message: Any, result: Any, exception: BaseException) -> None:
        """The task's own exception; retry middlewares replace it in the result, in any order."""
        run = taskiq_run.current.get()
        if run is not None and run.task_id == message.task_id:
            run.exception = exception


def follow_brokers(start: Start) -> None:
    """Every broker made from now on gets our middleware.

    A patch of `AsyncBroker.__init__`, the way of taskiq's own instrumentation for OpenTelemetry:
    there is no plugin that reaches brokers of producers.
    """
    PATCHES.wrap(AsyncBroker, "__init__", lambda original: _then_follow(original, start))


def _then_follow(original: Callable[..., None], start: Start) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807
        original(self, *args, **named)
        follow(self, start)

    return __init__


@contained
def follow(broker: Any, start: Start) -> Boot | None:
    """Adds our middleware to one broker. Not to InMemoryBroker: it calls functions, in tests."""
    if any(one.__name__ == "InMemoryBroker" for one in type(broker).__mro__):
        return None
    _follow_receivers()
    boot = Boot(broker, start)
    hooks = Hooks(boot)
    hooks.set_broker(broker)
    broker.middlewares.insert(0, hooks)
    return boot


def _follow_receivers() -> None:
    """Steps around methods of the receiver, the class that the option `--receiver` replaces.

    Middlewares never see unknown tasks, cannot skip a task, and run before or after the retry
    middlewares, depending on the version; `run_task` has returned when all of them are through.
    """
    from taskiq.receiver.receiver import Receiver

    PATCHES.wrap(Receiver, "listen", _listening)
    PATCHES.wrap(Receiver, "callback", _delivered)
    PATCHES.wrap(Receiver, "run_task", _told)


def _listening(original: Callable[..., Any]) -> Callable[..., Any]:
    """A receiver that an application starts beside a web server: the broker's `startup` was called
    before, for sending, or is not called at all."""

    async def listen(self: Any, *args: Any, **named: Any) -> Any:
        hooks = _hooks_of(self.broker)
        if hooks is not None:
            hooks.boot.ready("worker")
        return await original(self, *args, **named)

    return listen


def _delivered(original: Callable[..., Any]) -> Callable[..., Any]:
    async def callback(self: Any, message: Any, *args: Any, **named: Any) -> Any:
        line = _line_of(self.broker)
        if line is None:
            return await original(self, message, *args, **named)
        delivery = Delivery()
        token = taskiq_run.delivery.set(delivery)
        error: BaseException | None = None
        try:
            return await original(self, message, *args, **named)
        except Exception as raised:
            error = raised
            raise
        finally:
            taskiq_run.delivery.reset(token)
            if not delivery.ran:
                line.tasks.undelivered(delivery, message, error)

    return callback


def _told(original: Callable[..., Any]) -> Callable[..., Any]:
    async def run_task(self: Any, target: Any, message: Any, *args: Any, **named: Any) -> Any:
        line = _line_of(self.broker)
        run = None if line is None else line.tasks.begin(message)
        if line is None or run is None:
            return await original(self, target, message, *args, **named)
        if run.skipped:
            return _skipped(message)
        token = taskiq_run.current.set(run)
        run.target, run.coroutine = target, asyncio.current_task()
        try:
            known = _known_in_thread(target, run) if _leaves_context(self, target) else target
            result = await original(self, known, message, *args, **named)
        except BaseException as error:
            line.tasks.broke(run, error)
            raise
        finally:
            taskiq_run.current.reset(token)
        line.tasks.ended(run, message, result)
        return result

    return run_task


def _leaves_context(receiver: Any, target: Any) -> bool:
    """Whether the function will run in a thread that knows nothing of this coroutine: a sync one,
    before taskiq 0.12. What goes to another process must stay as it is."""
    from taskiq.receiver import receiver as module

    if not hasattr(module, "_run_sync") or inspect.iscoroutinefunction(target):
        return False
    return isinstance(receiver.executor, (ThreadPoolExecutor, type(None)))


def _known_in_thread(target: Callable[..., Any], run: Any) -> Callable[..., Any]:
    @functools.wraps(target)
    def call(*args: Any, **named: Any) -> Any:
        token = taskiq_run.current.set(run)
        try:
            return target(*args, **named)
        finally:
            taskiq_run.current.reset(token)

    return call


def _skipped(message: Any) -> Any:
    """As if the task had raised NoResultError: acknowledged, and no result is stored."""
    from taskiq.exceptions import NoResultError
    from taskiq.result import TaskiqResult

    return TaskiqResult(
        is_err=True,
        log=None,
        return_value=None,
        execution_time=0.0,
        error=NoResultError(),
        labels=message.labels,
    )


def _line_of(broker: Any) -> Line | None:
    """None for brokers that are not followed, and where the agent could not start."""
    hooks = _hooks_of(broker)
    return None if hooks is None else hooks.boot.line or hooks.boot.ready("worker")


def _hooks_of(broker: Any) -> Hooks | None:
    return next((one for one in broker.middlewares if type(one) is Hooks), None)


def _engine_for(agent: "agents.Agent", broker: Any) -> TaskiqEngine:
    """The one adapter of a source, whichever of its brokers is used first."""
    source = taskiq_source.find_source(broker)
    with _finding:
        for one in agent.engines:
            if isinstance(one, TaskiqEngine) and one.source.key == source.key:
                return one
        engine = TaskiqEngine(source)
        engine.attach(agent)
        agent.register(engine)
        return engine
