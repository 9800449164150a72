# SPDX-License-Identifier: Apache-2.0
"""One `Agent` per process joins spool, seals, policy, engines and link.

A family is a process with a link and its forked children: the children record into lanes of their
own, and the link of the parent ships them.
"""

import atexit
import contextlib
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from queuedeck_agent import config as settings
from queuedeck_agent import discovery, forks, release, wire
from queuedeck_agent.cancelled import Cancelled
from queuedeck_agent.engines import versions
from queuedeck_agent.guard import contained
from queuedeck_agent.ids import new_id
from queuedeck_agent.marks import Marks
from queuedeck_agent.paused import Paused
from queuedeck_agent.policy import Policy
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.seal import Seals
from queuedeck_agent.spool import open_spool

if TYPE_CHECKING:
    from queuedeck_agent.engines.base import Engine
    from queuedeck_agent.link import Link

log = logging.getLogger("queuedeck_agent")

_ROLES = ("", "producer", "scheduler", "worker")

_current: "Agent | None" = None
_starting = threading.RLock()
"""Adapters of several engines, and the first requests of a web process, start it side by side."""
_PATIENCE_S = 1.0
"""A process that was forked while another thread held the lock would wait for ever."""


def current() -> "Agent | None":
    """The agent of this process, or None when it was not started."""
    return _current


def start(config: settings.Config | None = None) -> "Agent":
    """Starts the agent of this process, once; raises `ConfigError` for unusable settings."""
    global _current
    if _current is not None:
        return _current
    is_turn = _starting.acquire(timeout=_PATIENCE_S)
    try:
        if _current is None:
            _show_log()
            _current = Agent(config or _from_env())
            atexit.register(_stop_at_exit)
        return _current
    finally:
        if is_turn:
            _starting.release()


class Agent:
    """What adapters hold on to. Making one touches the spool folder, never the network."""

    def __init__(self, config: settings.Config) -> None:
        self.config = config
        self.project = config.dsn.project
        self.family = new_id()
        """Also the agent id of the link: random, the same in all processes of the family."""
        self.spool = open_spool(config, self.family)
        self.recorder = Recorder(self.spool, self._start_own_link)
        self.seals = Seals(config.seal_keys)
        self.policy = Policy(config.allow, config.allow_tasks, config.command_rate)
        self.cancelled = Cancelled(self.spool.folder, self.policy.allows_task)
        self.paused = Paused(self.spool.folder)
        self.marks = Marks(self.spool.folder, self.family)
        self.engines: list[Engine] = []
        self.role = ""
        self.started_us = time.time_ns() // 1_000
        self.checkpoint = ""
        self._link: Link | None = None
        self._link_pid = 0
        self._lends = False
        """The child that is forked now is for one task, and leaves by `os._exit`."""
        if config.logs:
            self._follow_logs(config.logs)
        forks.follow(self)

    def register(self, engine: "Engine") -> None:
        """Adds an adapter; the caller attaches it. Warns, once, of a version that is not tested."""
        why = versions.objection(engine)
        if why and all(one.name != engine.name for one in self.engines):
            log.warning("Queuedeck: %s", why)
        self.engines = [*(one for one in self.engines if one.name != engine.name), engine]
        self.refresh_hello()

    def engine_of(self, source: str) -> "Engine | None":
        """The adapter that speaks for a source."""
        return next((one for one in self.engines if one.info().source == source), None)

    @contained
    def start_link(self, role: str) -> None:
        """Starts the link's thread; `role` is `worker`, `scheduler` or `producer`.

        Cheap and idempotent: adapters call it at worker boot, or at the first event. In a forked
        child of a process that has a link it does nothing: that link ships the child's lane.
        """
        if _ROLES.index(role) > _ROLES.index(self.role):
            self.role = role
            if self._link is not None:
                self._link.wake(hello=True)
        if self._link is None and not self._ships_through_parent():
            from queuedeck_agent.link import Link

            self._link_pid = os.getpid()
            self._link = Link(self)
            self._link.start()

    def refresh_hello(self) -> None:
        """Says anew who we are: queues, tasks or engines have changed."""
        if self._link is not None:
            self._link.wake(hello=True)

    def stop(self, flush_s: float = 1.0) -> None:
        """Ships what it can in that time, leaves the rest in the spool, closes everything."""
        link, self._link = self._link, None
        if link is not None and self._link_pid == os.getpid():
            link.stop(flush_s)
        self.recorder.close()

    def hello(self, nonce: bytes, lanes: tuple[tuple[str, int], ...]) -> wire.Hello:
        """What the server is told about this agent."""
        from queuedeck_agent.version import VERSION  # its import costs 15 ms: only with a link

        infos = self.engine_infos()
        self._keep_mark(infos)
        warnings = list(self.config.warnings)
        if self.config.dsn.insecure:
            warnings.append("The link is plain http: the key and the events can be read.")
        if self.spool.warning:
            warnings.append(self.spool.warning)
        warnings += filter(None, map(versions.objection, self.engines))
        return wire.Hello(
            agent_id=self.family,
            version=VERSION,
            host=socket.gethostname(),
            pid=os.getpid(),
            nonce=nonce,
            python=".".join(str(part) for part in sys.version_info[:3]),
            engines=infos,
            allow=self.policy.allow,
            seal_ids=self.seals.ids,
            lanes=lanes,
            checkpoint=self.checkpoint,
            clock_us=time.time_ns() // 1_000,
            started_us=self.started_us,
            spool=self.spool.kind,
            warnings=tuple(warnings),
            release=self.config.release,
            spool_id=self.spool.id or wire.NO_SPOOL,
        )

    def keep_mark(self) -> None:
        """Leaves the mark of a worker in the spool, connected or not."""
        if self.role == "worker":
            self._keep_mark(self.engine_infos())

    @contained
    def _keep_mark(self, infos: tuple[wire.EngineInfo, ...]) -> None:
        self.marks.keep(self.started_us, infos)

    def engine_infos(self) -> tuple[wire.EngineInfo, ...]:
        """What each adapter says; one that fails is left out, and counted."""
        infos = (contained(_info_of)(engine) for engine in self.engines)
        return tuple(info for info in infos if info is not None)

    def _follow_logs(self, level: str) -> None:
        from queuedeck_agent.logs import Logs

        Logs(self.recorder.extras, getattr(logging, level.upper())).follow()

    def _ships_through_parent(self) -> bool:
        """Whether another process of this family has the link. Memory is not shared, a disk is."""
        return self._link_pid not in (0, os.getpid()) and self.spool.shared

    def _start_own_link(self) -> None:
        """The events of this process are in its own memory: nobody else can ship them."""
        if self.role:
            self.start_link(self.role)

    def before_fork(self) -> None:
        """Holds the link's thread at a safe point, for 5 ms at most."""
        if self._link is not None and self._link_pid == os.getpid():
            self._link.park()
        self._lends = self.recorder.lends

    def after_fork_in_parent(self) -> None:
        """Lets the link's thread go on."""
        if self._link is not None and self._link_pid == os.getpid():
            self._link.unpark()

    def after_fork_in_child(self) -> None:
        """Drops what belongs to the parent, by closing only: unlocking would unlock the parent.
        A child for one task only hangs up: the rest ends with it, soon, and each line costs."""
        link = self._link
        if self._lends:
            if link is not None:
                link.hang_up()
            return
        self.recorder.abandon()
        self._link = None
        if link is not None:
            link.abandon()
            link.shipper.unmap()
        if self.spool.folder is None:
            self._link_pid = 0
            self.family = new_id()


def _info_of(engine: "Engine") -> wire.EngineInfo:
    info = discovery.described(engine, engine.info())
    why = versions.objection(engine)
    return versions.only_observing(info, why) if why else info


def _from_env() -> settings.Config:
    config = settings.from_env()
    if config.release:
        return config
    with contextlib.suppress(OSError):
        here = release.found(settings.effective(), Path.cwd())
        return msgspec.structs.replace(config, release=here)
    return config


def _show_log() -> None:
    """Workers log warnings only, unless told otherwise; whether we are connected is seldom said
    and always asked for. A level that the application gave stays."""
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)


def _stop_at_exit() -> None:
    if _current is not None:
        with contextlib.suppress(Exception):
            _current.stop()
