# SPDX-License-Identifier: AGPL-3.0-only
"""What a behaviour asks of an engine. A harness per engine says how that engine does it: a real
worker on a real broker, started as an operator would, and the engine's own word on each task.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import psutil
import redis
from tests.conformance.edge import Edge
from tests.support import spool

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.versions import within
from queuedeck_agent.errors import CommandRefused

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUES = os.environ.get("TEST_QUEUES", BROKER)
"""Where tasks wait; the truth and the results are in Redis always."""
BROKER_NAME = "rabbitmq" if QUEUES.startswith("amqp") else "redis"
POOL = os.environ.get("TEST_POOL", "")
"""How the worker runs tasks at once, in its engine's own word; empty: as the harness has it."""
REPOSITORY = Path(__file__).resolve().parents[2]
TASKS = "tests.conformance.tasks"
replace = msgspec.structs.replace
NO_DETAILS = wire.CommandDetails()
E = TypeVar("E", bound=wire.Event)


class Call(msgspec.Struct, frozen=True):
    """One task to be sent."""

    task: str
    """A function of `tests/conformance/tasks.py`."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    delay: int = 0
    """Seconds until it is due."""
    limit: int = 0
    """Seconds that it may run."""
    expires: int = 0
    """Seconds until it is too late to start it."""

    @property
    def name(self) -> str:
        return f"{TASKS}.{self.task}"


def call(task: str, *args: Any, **kwargs: Any) -> Call:
    """A plain call; `msgspec.structs.replace` adds the rest."""
    return Call(task, args, kwargs)


def key() -> str:
    """Tells the lines of one test from those of others."""
    return f"k{uuid.uuid4().hex[:8]}"


def eventually(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true answer of `check`."""
    until = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < until, f"not within {seconds} s; last answer: {answer!r}"
        time.sleep(0.05)
    return answer


class Difference(msgspec.Struct, frozen=True):
    """Where a behaviour is not what it is on the newest version, on Redis."""

    behaviours: tuple[str, ...]
    reason: str
    support: str = "impossible"
    broker: str = ""
    """Only there; empty: on every one."""
    versions: str = ""
    """Only in this range: `<2.0`; empty: in all."""
    pools: tuple[str, ...] = ()
    """Only with these; none: with every one."""


class Harness(ABC):
    """One worker with a queue and a spool of its own."""

    engine: ClassVar[str]
    emulated: ClassVar[dict[str, str]] = {}
    """Behaviour -> what the emulation means. Everything that is not named here is native."""
    impossible: ClassVar[dict[str, str]] = {}
    """Behaviour -> why this engine, or this adapter, cannot. It is not tested."""
    differences: ClassVar[tuple[Difference, ...]] = ()
    """The first that fits holds, before `emulated` and `impossible`."""
    exits_as: ClassVar[type[wire.Event]] = wire.TaskFailed
    """What becomes of a task that raises SystemExit."""
    knows_its_tasks: ClassVar[bool] = True
    """Whether the application has a list of its tasks, so that another name is refused."""
    urgent: ClassVar[int] = 9
    """A priority that goes before what is sent without one."""
    other_queue: str = ""
    """A second queue that the worker serves as well; empty where it has one only."""
    submits_to: str = ""
    """The queue that a submitted task must be given; empty where its name says that."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.queue = f"c{uuid.uuid4().hex[:10]}"
        self.environment = environment or {}
        self.log = folder / "worker.log"
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None
        self._commander: Commander | None = None
        self.edge: Edge | None = None
        """The server that the worker is linked to, in place of none."""
        self._hellos_before = 0

    # --- What each engine says ---

    @staticmethod
    @abstractmethod
    def version() -> str:
        """Of the engine that is installed here."""

    @abstractmethod
    def command(self) -> list[str]:
        """The worker's command line, as an operator writes it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the worker takes tasks now."""

    @abstractmethod
    def sending(self, one: Call) -> str:
        """Python code, one expression: sends the call and is the task's id. `t` is the module
        of `prelude`."""

    @abstractmethod
    def sending_after(self, first: Call, second: Call) -> str:
        """The same: `second` when `first` has ended well. It is both ids, with a space between."""

    @abstractmethod
    def running_eagerly(self, one: Call) -> str:
        """The same: the call in the sending process, without a worker. It is the result."""

    prelude: ClassVar[str]
    """Python code that gives `t`."""

    @abstractmethod
    def waiting(self) -> set[str]:
        """Ids in the queue, by the broker itself."""

    @abstractmethod
    def result(self, task_id: str) -> Any:
        """What the engine has stored as the return value; None while there is nothing."""

    @abstractmethod
    def failure(self, task_id: str) -> str:
        """The traceback that the engine has stored; empty while there is none."""

    @abstractmethod
    def cancelling(self, task: str) -> str:
        """Python code: cancels a waiting task by the engine's own means. `task` is an expression
        that gives its id."""

    @abstractmethod
    def adapter(self) -> Any:
        """Our adapter, for commands from another process."""

    def queue_length(self, queue: str | None = None) -> int:
        """Messages that could be taken from this queue, or from the harness's own, now, by the
        broker itself."""
        raise NotImplementedError(f"the harness of {self.engine} does not say how long a queue is")

    def priority_of(self, task_id: str) -> int:
        """Of a waiting message, by the broker itself."""
        raise NotImplementedError(f"the harness of {self.engine} does not read priorities")

    def dead(self) -> set[str]:
        """Ids of the messages that were given up and are kept, by the broker itself."""
        raise NotImplementedError(f"the harness of {self.engine} has no dead letters")

    def make_dead(self) -> str:
        """Sends a task that ends as a dead letter when the worker has run it; its id."""
        raise NotImplementedError(f"the harness of {self.engine} has no dead letters")

    def slots(self) -> int:
        """How many tasks the worker runs at once, by the engine's own word."""
        raise NotImplementedError(f"the harness of {self.engine} does not count slots")

    def age_the_dead(self) -> None:  # noqa: B027 - most engines have nothing to do here
        """Makes the engine notice at once that a worker is gone, where it would wait."""

    def clean_up(self) -> None:  # noqa: B027
        """Removes from the broker what is not named after the queue."""

    # --- What is the same for all ---

    @classmethod
    def says_of(cls, behaviour: str, version: str, broker: str, pool: str = "") -> tuple[str, str]:
        """(`native`, `emulated` or `impossible`; the reason) in that version, on that broker, with
        that pool."""
        for one in cls.differences:
            fits = one.broker in ("", broker) and within(version, one.versions)
            fits = fits and (not one.pools or pool in one.pools)
            if behaviour in one.behaviours and fits:
                return one.support, one.reason
        for support, reasons in (("impossible", cls.impossible), ("emulated", cls.emulated)):
            if behaviour in reasons:
                return support, reasons[behaviour]
        return "native", ""

    def env(self, attached: bool = True) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "QUEUEDECK_DSN": spool.dsn() if attached else "",
            "QUEUEDECK_SPOOL": str(self.spool),
            "TEST_QUEUE": self.queue,
            "C_FORCE_ROOT": "1",
            "COLUMNS": "200",
            **self.environment,
        }

    def start(self, attached: bool = True) -> "Harness":
        """Starts the worker through our launcher and waits until it is ready."""
        self._hellos_before = len(self.edge.hellos) if self.edge else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_LAUNCHER, *self.command()],
                env=self.env(attached),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self.is_ready, 30)
        return self

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """Asks it to end; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None  # not before: one that does not end is killed by `close`
        return code

    def kill(self) -> None:
        """SIGKILL for the worker and all its children."""
        if self.process is None:
            return
        family = psutil.Process(self.process.pid)
        children = family.children(recursive=True)
        for one in (family, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait(10)
        self.process = None

    def close(self) -> None:
        self.kill()
        if self._commander is not None:
            self._commander.close()
        if self.edge is not None:
            self.edge.stop()
        self.clean_up()
        for name in self.redis.scan_iter(f"*{self.queue}*", count=1000):
            self.redis.delete(name)
        self.redis.close()

    def send(self, one: Call) -> str:
        """From this process, which has no agent."""
        return str(eval(self.sending(one), self._names()))

    def send_to(self, queue: str, one: Call) -> str:
        """As `send`, to `other_queue`."""
        own, self.queue = self.queue, queue
        try:
            return self.send(one)
        finally:
            self.queue = own

    def send_attached(self, one: Call) -> str:
        """From a process with the agent."""
        return self.attached(f"print({self.sending(one)})")

    def attached(self, code: str) -> str:
        """Runs code in a process with the agent; gives the last line that it printed."""
        done = subprocess.run(
            [*_LAUNCHER, sys.executable, "-c", f"{self.prelude}\n{code}"],
            env=self.env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().rpartition("\n")[2]

    def told(self, word: str, about: str = "") -> list[list[str]]:
        """What tasks wrote down themselves."""
        lines = [line.split() for line in self.redis.lrange(f"told:{self.queue}", 0, -1)]
        return [line for line in lines if line[0] == word and about in ("", line[1])]

    def events(self, kind: type[E], task_id: str = "") -> list[E]:
        """Events in the spool now."""
        found = [event for event in spool.events(self.spool) if isinstance(event, kind)]
        return [one for one in found if task_id in ("", getattr(one, "task_id", ""))]

    def event(self, kind: type[E], task_id: str, seconds: float = 20.0) -> E:
        """The one event of this kind; waits for it."""
        found: list[E] = eventually(lambda: self.events(kind, task_id), seconds)
        assert len(found) == 1, found
        return found[0]

    def kinds(self, task_id: str) -> set[tuple[str, int]]:
        """(kind, attempt) of every event of a task."""
        found = self.events(wire.TaskEvent, task_id)
        return {(type(event).__name__, event.attempt) for event in found}

    def commander(self, *allow: str, folder: Path | None = None) -> "Commander":
        """Somebody who may do this; on the worker's host, where `folder` is the worker's spool."""
        if self._commander is not None:
            self._commander.close()
        self._commander = Commander(self, allow, folder or self.folder / "commander")
        return self._commander

    # --- A worker that is linked to a server ---

    def link(self, *allow: str) -> "Harness":
        """Before `start`: the worker connects to a server, and may be asked to do this."""
        self.edge = Edge()
        self.edge.start()
        self.environment |= {
            "QUEUEDECK_DSN": self.edge.text(),
            "QUEUEDECK_ALLOW": ",".join(allow),
        }
        return self

    @property
    def said(self) -> tuple[wire.Hello, wire.EngineInfo]:
        """What the worker that runs now says of itself."""
        edge = self.edge
        assert edge is not None, "this worker is not linked"

        def newest() -> tuple[wire.Hello, wire.EngineInfo] | None:
            for hello in reversed(edge.hellos[self._hellos_before :]):
                for engine in hello.engines:
                    if (engine.engine, engine.role) == (self.engine, "worker"):
                        return hello, engine
            return None

        found: tuple[wire.Hello, wire.EngineInfo] = eventually(newest)
        return found

    def able(self, verb: str) -> wire.Capability:
        """What the worker's own adapter says about a verb."""
        return _of_verb(verb, self.said[1].capabilities)

    def order(
        self,
        verb: str,
        task_id: str = "",
        name: str = "",
        sealed: bytes = b"",
        *,
        queue: str = "",
        details: wire.CommandDetails = NO_DETAILS,
    ) -> wire.CommandDone:
        """A signed command over the link, to the agent of the running worker itself. Raises
        `CommandRefused` with what it answers when it does not do it."""
        hello, engine = self.said
        assert self.edge is not None
        body = wire.CommandBody(
            uuid.uuid4().hex, hello.agent_id, hello.nonce, "shop", verb, engine.source, task_id,
            name, 60, queue=queue, sealed=sealed, actor="the tests", details=details,
        )  # fmt: skip
        self.edge.order(body)
        answers = (wire.CommandDone, wire.CommandFailed)
        (answer,) = eventually(
            lambda: [
                one
                for one in spool.events(self.spool)
                if isinstance(one, answers) and one.command_id == body.command_id
            ]
        )
        if isinstance(answer, wire.CommandFailed):
            raise CommandRefused(answer.code, answer.message)
        return answer

    def _names(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(self.prelude, names)
        return names


class Commander:
    """An agent in this process, whose adapter carries out commands on the worker's tasks."""

    def __init__(self, harness: Harness, allow: tuple[str, ...], folder: Path) -> None:
        self.folder = folder
        environment = {"QUEUEDECK_SPOOL": str(self.folder), "QUEUEDECK_ALLOW": ",".join(allow)}
        self.agent = Agent(config.from_env({"QUEUEDECK_DSN": spool.dsn(), **environment}))
        self.engine = harness.adapter()
        self.engine.attach(self.agent)

    def able(self, verb: str) -> wire.Capability:
        """What its adapter says about a verb."""
        return _of_verb(verb, self.engine.capabilities())

    def execute(
        self,
        verb: str,
        task_id: str = "",
        name: str = "",
        sealed: bytes = b"",
        *,
        queue: str = "",
        details: wire.CommandDetails = NO_DETAILS,
    ) -> wire.CommandDone:
        source = self.engine.info().source
        opened = self.agent.seals.open("shop", source, name, task_id, sealed) if sealed else b""
        if verb == "cancel":  # as the agent's runner does
            self.agent.cancelled.add([(source, task_id)])
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, task_id, name, 60,
            queue=queue, details=details,
        )  # fmt: skip
        done: wire.CommandDone = self.engine.execute(command, opened)
        return done

    def events(self, kind: type[E]) -> list[E]:
        return [event for event in spool.events(self.folder) if isinstance(event, kind)]

    def close(self) -> None:
        self.engine.detach()
        self.agent.stop(0)


def _of_verb(verb: str, said: tuple[wire.Capability, ...]) -> wire.Capability:
    (found,) = [one for one in said if one.verb == verb]
    return found


_LAUNCHER = [sys.executable, "-m", "queuedeck_agent.cli", "run", "--"]
