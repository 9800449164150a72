# SPDX-License-Identifier: Apache-2.0
"""The link: one thread, one WebSocket, outwards only. Ships lanes, takes acks and commands.

Nothing that the server says or does not say reaches the host: at worst events wait in the spool.
"""

import _socket
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from queuedeck_agent import system, wire
from queuedeck_agent.discovery import Discovery
from queuedeck_agent.guard import note
from queuedeck_agent.runner import Runner
from queuedeck_agent.session import Session
from queuedeck_agent.shipper import Nonsense, Shipper
from queuedeck_agent.trust import Trust

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent
    from queuedeck_agent.connect import Trouble

log = logging.getLogger("queuedeck_agent")
_detach = _socket.socket.detach
"""Without the method of Python's own around it: see `Link.hang_up`."""

LOOK_AROUND_S = 1.0
ELECTION_S = 5.0
RECALL_S = 30.0
"""How often commands of dead processes are looked for."""
PARK_S = 0.005


class Link:
    """Owns the thread. Another thread may only start, wake, park and stop it."""

    def __init__(self, agent: "Agent") -> None:
        self.agent = agent
        self.shipper = Shipper(agent.spool)
        self.runner = Runner(agent)
        self.discovery = Discovery(agent)
        self.stopping = threading.Event()
        self.flush_by = 0.0
        """Until when a stopping link still ships, by the monotonic clock."""
        self.hello_due = False
        self.busy = threading.Lock()
        """Held whenever the thread is not waiting; a fork waits a moment for it."""
        self._parked: dict[int, list[threading.Lock]] = {}
        """Threads of the host that fork just now, and what they hold for it."""
        self._thread = threading.Thread(target=self._run, name="queuedeck-link", daemon=True)
        self._elected = -1
        self._session: Session | None = None
        self._attempt = 0
        self._told = ""
        """The trouble of this outage that the log has; empty when there is none."""
        self._was_connected = False
        self._next_look = 0.0
        self._next_recall = 0.0
        self._saw_all = False
        """Lanes were looked for after the stop began."""
        self._left = False
        """In a forked child: a greenlet is copied with the rest, and must not go on there."""

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self, hello: bool = False) -> None:
        """The hello has changed: it is sent again within a tick."""
        self.hello_due = self.hello_due or hello

    def park(self) -> None:
        """Before a fork: waits until its threads are at a safe point, for 5 ms at most each."""
        held = self._parked[threading.get_ident()] = []
        for one in (self.busy, self.discovery.busy):
            if one.acquire(timeout=PARK_S):
                held.append(one)

    def unpark(self) -> None:
        """After a fork, in the parent."""
        for one in self._parked.pop(threading.get_ident(), ()):
            one.release()

    def hang_up(self) -> None:
        """In a forked child for one task: the server must see at once when the parent is gone."""
        for one in self._session.sockets if self._session is not None else ():
            file = _detach(one)
            if file >= 0:
                os.close(file)

    def abandon(self) -> None:
        """In a forked child, which has no such thread: closes the files that were inherited, since
        locks and connections are held by whoever has them open."""
        self._left = True
        files = [self._elected, *(reader.lock for reader in self.shipper.readers.values())]
        for one in self._session.sockets if self._session is not None else ():
            try:
                files.append(one.detach())  # a word on the connection would reach the server
            except (OSError, ValueError):
                continue
        if self.runner.journal is not None:
            files.append(self.runner.journal.file)
        for file in files:
            if file >= 0:
                try:
                    os.close(file)
                except OSError:
                    continue

    def stop(self, flush_s: float) -> None:
        """Ships for so long, then closes; what is left stays in the spool."""
        self.flush_by = time.monotonic() + flush_s
        self.stopping.set()
        self._next_look = 0.0
        self.discovery.stop()
        self.runner.stop()
        if self._thread is not threading.current_thread():
            self._thread.join(flush_s)

    @property
    def may_go_on(self) -> bool:
        """False once the link is stopping and its time is up, or nothing is left to ship."""
        if self._left:
            return False
        if not self.stopping.is_set():
            return True
        saw_all = self._saw_all and self.shipper.drained
        return time.monotonic() < self.flush_by and not saw_all

    def look_around(self) -> None:
        """New lanes to claim; once a second all lanes, and room to make."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_AROUND_S
            self._saw_all = self.stopping.is_set()
            self.shipper.claim_lanes()
            self.shipper.make_room()
        else:
            self.shipper.claim_new_lanes()
        if now >= self._next_recall:
            self._next_recall = now + RECALL_S
            self.runner.tell_unfinished()

    def connected(self, project: str) -> None:
        """Says so the first time, and after each outage that the log has."""
        self._attempt = 0
        place = f"to {self.agent.config.dsn.server_url} as project {project}"
        if not self._was_connected:
            log.info("Queuedeck: connected %s: %s", place, _describe(self.agent))
        elif self._told:
            log.info("Queuedeck: connected again %s", place)
        self._was_connected, self._told = True, ""

    def take_command(self, command: wire.Command, trust: Trust) -> None:
        """Hands a command to the runner's thread."""
        self.runner.submit(command, trust)

    def _run(self) -> None:
        while not self._left and (self._attempt == 0 or not self.stopping.is_set()):
            try:
                if self._is_elected():
                    self._connect_once()
                elif self.stopping.is_set():
                    break
            except Exception as error:  # noqa: BLE001 - the thread must live on
                note("queuedeck_agent.link", error)
                self._rest(60.0)
        if self._left:
            return
        with self.busy:
            self.shipper.close()
            if self._elected >= 0:
                os.close(self._elected)
                self._elected = -1

    def _is_elected(self) -> bool:
        """Of processes that only enqueue, one for each spool has the link."""
        folder = self.agent.spool.folder
        if self.agent.role != "producer" or folder is None or self._elected >= 0:
            return True
        self._elected = system.try_lock(folder / "shipper", create=True)
        if self._elected >= 0:
            return True
        self.stopping.wait(ELECTION_S)
        return False

    def _connect_once(self) -> None:
        from queuedeck_agent import connect

        dsn = self.agent.config.dsn
        with self.busy:
            self.agent.keep_mark()
            self.look_around()
        session = Session(self)
        try:
            with self.busy:
                opened = connect.open_link(dsn)
            with opened as connection:
                connect.limit_sending(connection)
                self._session = session
                session.serve(connection)
            said = f"{dsn.server_url} said goodbye{session.goodbye}"
            trouble = connect.Trouble(
                said, connect.TODO_AWAY, retry_after_s=session.retry_after, passing=True
            )
        except Nonsense as error:
            why = f"{dsn.server_url} sent something senseless: {error}"
            trouble = connect.Trouble(why, connect.TODO_UPGRADE)
        except msgspec.DecodeError as error:
            why = f"{dsn.server_url} sent something that this agent cannot read ({error})"
            trouble = connect.Trouble(why, connect.TODO_UPGRADE)
        except Exception as error:  # noqa: BLE001 - all that a network can do
            trouble = connect.explain(error, dsn)
        finally:
            self._session = None
            if not self._left:
                with self.busy:
                    self.shipper.end()
                self.discovery.observe(None)
        self._attempt += 1
        if not self._left and not self.stopping.is_set():
            self._tell(trouble)
            self._rest(connect.wait_before(self._attempt, trouble))

    def _tell(self, trouble: "Trouble") -> None:
        """An outage once. In the same outage only what does not pass by itself is news."""
        if trouble.message == self._told or (self._told and trouble.passing):
            return
        self._told = trouble.message
        log.warning(
            "Queuedeck: not connected: %s. %s Your tasks are not affected; events wait in the "
            "spool and connecting is tried again by itself.",
            trouble.message,
            trouble.todo,
        )

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._left and not self.stopping.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return
            with self.busy:
                self.look_around()
            self.stopping.wait(min(left, LOOK_AROUND_S))


def _describe(agent: "Agent") -> str:
    engines = ", ".join(
        f"{info.engine} {info.version} {info.role} ({info.worker or info.source})"
        for info in agent.engine_infos()
    )
    spool = "in memory" if agent.spool.kind == "memory" else "on disk"
    return f"{engines or agent.role or 'no engine yet'}, spool {spool}"
