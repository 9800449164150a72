# SPDX-License-Identifier: Apache-2.0
"""Steps around enqueueing: in producers, schedulers, and workers that send retries and dependents.

RQ enqueues the same job several times: when it is due, when what it depends on has ended, for each
retry, and when somebody requeues it. Only some of these are news.
"""

import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

from queuedeck_agent import capture, request, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import sources
from queuedeck_agent.engines.rq import call as rq_call
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.commit import when_committed
from queuedeck_agent.guard import contained
from queuedeck_agent.overrides import Hidden, hidden_in

_AGAIN = "queuedeck_again"
_UNTOLD = "queuedeck_untold"
"""On a job that has its stamp, while nothing was told: RQ may give up a pipeline and try again."""
_ENDED = frozenset({"finished", "failed", "stopped", "canceled"})
_MAX_KNOWN = 4096
Say = Callable[[], None]


class PublishHooks:
    """`before` stamps a job that is about to be enqueued, and gives what `after` has to tell."""

    def __init__(self, agent: Agent, version: str) -> None:
        self.agent = agent
        self.version = version
        self.emit = agent.recorder.emit
        self.current: rq_stamp.Stamp | None = None
        """The job that runs in this process now: parent of all that it enqueues."""
        self.current_id = ""
        self.forks_in = 0
        """The process that sets `current` for the horses that it forks, and runs nothing itself."""
        self.held: list[Say] | None = None
        """While a job is being ended: what it led to is told after its outcome."""
        self.serializer: Any = None
        """Of the job that was enqueued last: what a producer's application uses."""
        self._origin = f"{os.getpid()}@{socket.gethostname()}"
        self._pid = os.getpid()
        self._keys: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._newest: Callable[[], Any] = _nothing
        self._newest_key = ""
        """The source of the connection that was asked for last: nearly always the same."""
        self._hidden: dict[str, Hidden] = {}
        self._roots: dict[str, str] = {}

    @contained
    def before(self, job: Any, queue: str, eta_us: int = 0) -> Say | None:
        """None when this enqueueing tells nothing new."""
        again = vars(job).pop(_AGAIN, False)
        old = rq_stamp.get(job)
        untold = vars(job).pop(_UNTOLD, None)
        if again or old is None or old.ended or status_of(job) in _ENDED:
            say = self._stamped(job, old, queue, eta_us, again=again)
        elif untold is not None:
            say = untold
        else:
            return None
        vars(job)[_UNTOLD] = say
        return lambda: cast("Say", vars(job).pop(_UNTOLD, _nothing))()

    @contained
    def after(self, say: Say, pipeline: Any) -> None:
        """RQ has enqueued it, or put it into the caller's pipeline."""
        when_committed(pipeline, lambda: self.tell(say))

    def tell(self, say: Say) -> None:
        """Now, or after the outcome of the job that is being ended."""
        if self.held is None:
            contained(say)()
        else:
            self.held.append(say)

    def release(self) -> None:
        """Tells what was held back."""
        held, self.held = self.held, None
        for say in held or ():
            contained(say)()

    @contained
    def again(self, job: Any) -> None:
        """RQ is about to enqueue the job for its next attempt."""
        vars(job)[_AGAIN] = True

    @contained
    def cancelled(self, job: Any, pipeline: Any, reason: str = "revoked") -> None:
        """Somebody took a waiting job out of its queue."""
        about = (time.time_ns() // 1_000, self.source_of(job.connection), job.id, attempt_of(job))
        event = wire.TaskCancelled(*about, reason, name_of(job))
        when_committed(pipeline, lambda: self.tell(lambda: self.emit(event)))

    @contained
    def expired(self, job_id: str, connection: Any) -> None:
        """A worker took an id whose job is gone: RQ lets it expire, and says nothing."""
        at_us = time.time_ns() // 1_000
        self.emit(wire.TaskCancelled(at_us, self.source_of(connection), job_id, 1, "expired"))

    def source_of(self, connection: Any) -> str:
        """The source of a connection, introduced to the server before its first event."""
        if connection is self._newest():
            return self._newest_key
        pool = getattr(connection, "connection_pool", connection)
        key = self._keys.get(pool)
        if key is None:
            source = sources.name_source("rq", [sources.redis_url(connection)])
            key = self._keys[pool] = source.key
            at_us = time.time_ns() // 1_000
            self.agent.recorder.declare_source(sources.seen("rq", source, self.version, at_us))
        self._newest_key = key
        self._newest = weakref.ref(connection)
        return key

    def shown(self, job: Any, name: str) -> bytes:
        """Redacted arguments; nothing where they are not at hand, or a name may hide a secret."""
        if not self.agent.config.capture_args or not is_at_hand(job):
            return b""
        hidden = self.hidden_in(job, name)
        if hidden is None:
            if job.args:
                return b""
            hidden = hidden_in(None, name)
        return capture.arguments(job.args, job.kwargs, hidden).json

    def sealed(self, job: Any, name: str) -> bytes:
        """The sealed call; nothing when it is too large."""
        meta = job.serializer.dumps(job.meta) if job.meta else b""
        call = rq_call.pack(job, meta) if self.agent.config.capture_args else b""
        if not call:
            return b""
        source, agent = self.source_of(job.connection), self.agent
        return agent.seals.seal(agent.project, source, name, job.id, call)

    def _stamped(
        self, job: Any, old: rq_stamp.Stamp | None, queue: str, eta_us: int, *, again: bool
    ) -> Say:
        """Puts a new stamp on the job; gives what there is to tell."""
        attempt = attempt_of(job) + 1 if again else 1
        name = name_of(job)
        shown = b"" if again else self.shown(job, name)
        parent, root = self._family(job, old)
        captured = old.c if again and old is not None else bool(shown)
        at_us = time.time_ns() // 1_000
        stamp = rq_stamp.Stamp(at_us, attempt, captured, name, parent, root)
        rq_stamp.put(job, stamp)
        self.serializer = job.serializer
        return lambda: self._published(job, stamp, queue, eta_us, shown)

    def _published(
        self, job: Any, stamp: rq_stamp.Stamp, queue: str, eta_us: int, shown: bytes
    ) -> None:
        expires_us = stamp.at + job.ttl * 1_000_000 if job.ttl and job.ttl > 0 else 0
        route, user = request.context()
        self.emit(
            wire.TaskPublished(
                stamp.at,
                self.source_of(job.connection),
                job.id,
                stamp.n,
                stamp.name,
                queue,
                shown,
                self.sealed(job, stamp.name) if shown else b"",
                eta_us,
                expires_us,
                parent_id=stamp.parent,
                root_id=stamp.root,
                group_id=vars(job).get("group_id") or "",
                origin=self._own_origin(),
                route=route,
                user=user,
            )
        )

    def _family(self, job: Any, old: rq_stamp.Stamp | None) -> tuple[str, str]:
        """(parent, root): what it depends on first, else the job that enqueues it."""
        if old is not None:
            return old.parent, old.root
        depends_on = vars(job).get("_dependency_ids")
        current = self.current if self.forks_in != os.getpid() else None
        current_id = self.current_id if current is not None else ""
        parent = depends_on[0] if depends_on else current_id
        if current is not None and parent == current_id:
            root = current.root or parent
        else:
            root = self._roots.get(parent, parent)
        root = root or job.id
        if len(self._roots) >= _MAX_KNOWN:
            self._roots.pop(next(iter(self._roots)), None)
        self._roots[job.id] = root
        return parent, root

    def hidden_in(self, job: Any, name: str) -> Hidden | None:
        """None while the function is not imported here, so that its parameters are not known."""
        known = self._hidden.get(name)
        if known is None:
            function = _function_of(job, name)
            if function is None:
                return None
            known = hidden_in(function, name)
            if len(self._hidden) < _MAX_KNOWN:
                self._hidden[name] = known
        return known

    def has_sent(self, name: str) -> bool:
        """Whether this process has enqueued a job of that name, or shown its arguments; not all are
        kept."""
        return name in self._hidden

    def _own_origin(self) -> str:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._origin = f"{self._pid}@{socket.gethostname()}"
        return self._origin


def _nothing() -> None:
    """It was told already, RQ enqueued the job twice in one pipeline; or no connection yet."""


def is_at_hand(job: Any) -> bool:
    """Whether the call needs no deserialising: that runs code of the host, at its time only."""
    return isinstance(vars(job).get("_args"), (tuple, list))


def name_of(job: Any) -> str:
    """The function's dotted name, without deserialising the job."""
    name = vars(job).get("_func_name")
    if isinstance(name, str):
        return name
    stamp = rq_stamp.get(job)
    if stamp is not None and stamp.name:
        return stamp.name
    # RQ's own description is the call as text: `shop.send(1, to='x')`.
    head, bracket, _ = (job.description or "").partition("(")
    return head if bracket and head.replace(".", "").isidentifier() else ""


def status_of(job: Any) -> str:
    """The status that the job object holds; Redis is not asked."""
    status = vars(job).get("_status")
    return str.__str__(status) if isinstance(status, str) else ""


def attempt_of(job: Any) -> int:
    """Which attempt the job stands for."""
    stamp = rq_stamp.get(job)
    if stamp is None:
        return (vars(job).get("number_of_retries") or 0) + 1
    return 1 if stamp.ended else stamp.n


def _function_of(job: Any, name: str) -> Any:
    instance = vars(job).get("_instance")
    if instance is not None:
        return getattr(instance, name.rpartition(".")[2], None)
    return function_named(name)


def function_named(name: str) -> Any:
    """What is imported already under that name; nothing is imported."""
    path = name
    while path:
        path, _, _ = path.rpartition(".")
        module = sys.modules.get(path)
        if module is not None:
            found: Any = module
            for part in name[len(path) + 1 :].split("."):
                found = getattr(found, part, None)
            return found
    return None
