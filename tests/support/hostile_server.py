# SPDX-License-Identifier: AGPL-3.0-only
"""A stolen server: it holds every key that a server has, and may say to any agent what it likes."""

import base64
import contextlib
import secrets
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import psutil
import redis
from rq.job import Job
from tests.conformance import rq_tasks
from tests.support.far_edge import AGENT_KEY, PROJECT, SEAL, FarEdge, wait_until
from tests.support.hostile_crew import BROKER, Crew
from websockets.sync.server import ServerConnection

from queuedeck_agent import wire

Answer = wire.CommandDone | wire.CommandFailed


class Link:
    """One connection of one agent."""

    def __init__(self, connection: ServerConnection, hello: wire.Hello) -> None:
        self.connection, self.hello = connection, hello


class StolenServer(FarEdge):
    """Remembers which connection is whose, and what each command was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[Link] = []
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.sealed: dict[str, wire.TaskStarted] = {}

    def dsn_text(self, project: str = PROJECT) -> str:
        dsn = self.dsn()
        seal, root = (
            base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (SEAL.key, dsn.root_key)
        )
        return (
            f"http://{AGENT_KEY}@127.0.0.1:{self.port}/{project}?seal={SEAL.kid}.{seal}&root={root}"
        )

    def link_of(self, pid: int) -> Link:
        """The newest connection of that process."""
        return next(link for link in reversed(self.links) if link.hello.pid == pid)

    def order(self, link: Link, body: wire.CommandBody) -> wire.Command:
        """Signs it and sends it; what was sent."""
        raw = wire.encode(body)
        command = wire.Command(raw, self.command.sign(wire.COMMAND_CONTEXT + raw))
        link.connection.send(wire.encode(command))
        return command

    def told(self, command_id: str, seconds: float = 20.0) -> Answer:
        """The one answer to a command."""
        wait_until(lambda: self.answers.get(command_id), seconds)
        first = self.answers[command_id][0]
        assert all(one == first for one in self.answers[command_id]), "two answers"
        return first

    def _keep(self, lane: str, first: int, last: int, event: wire.Event) -> None:
        super()._keep(lane, first, last, event)
        if isinstance(event, (wire.CommandDone, wire.CommandFailed)):
            self.answers[event.command_id].append(event)
        if isinstance(event, wire.TaskStarted) and event.sealed:
            self.sealed[event.task_id] = event

    def _answer(self, connection: ServerConnection, message: wire.AgentMessage, size: int) -> None:
        super()._answer(connection, message, size)
        if isinstance(message, wire.Hello):
            self.links.append(Link(connection, message))


class Victim:
    """A host with a real worker, and what its tasks and its broker say of it."""

    def __init__(self, crew: Crew, server: StolenServer, folder: Path, **policy: str) -> None:
        self.crew, self.server, self.folder, self.policy = crew, server, folder, policy
        self.queue = f"h{uuid.uuid4().hex[:10]}"
        self.parked = f"{self.queue}-parked"
        """A queue that no worker serves."""
        self.redis: Any = redis.Redis.from_url(BROKER)
        self.jobs: list[Job] = []
        self.pid = 0
        folder.mkdir(exist_ok=True)

    def start(self, die: str = "") -> "Victim":
        env = {
            "QUEUEDECK_DSN": self.server.dsn_text(),
            "QUEUEDECK_SPOOL": str(self.folder / "spool"),
            "TEST_QUEUE": self.queue,
            **self.policy,
        }
        self.pid = self.crew.start(env, self.queue, self.folder / "log", die)
        return self

    def ready(self) -> "Victim":
        wait_until(lambda: any(link.hello.pid == self.pid for link in self.server.links), 40)
        return self

    @property
    def link(self) -> Link:
        return self.server.link_of(self.pid)

    @property
    def source(self) -> str:
        return self.link.hello.engines[0].source

    def send(self, name: str, *args: Any, queue: str = "") -> Job:
        """From a process without the agent."""
        job = rq_tasks.send(queue or self.queue, f"tests.conformance.tasks.{name}", args, {})
        self.jobs.append(job)
        return job

    def ran(self, key: str) -> int:
        """How often a task with that key ran, by its own record."""
        lines = self.redis.lrange(f"told:{self.queue}", 0, -1)
        return sum(line.split()[1].decode() == key for line in lines)

    def original(self, key: str) -> wire.TaskStarted:
        """A task that ran once: as the server knows it, with its sealed call."""
        job = self.send("note", key)
        wait_until(lambda: job.id in self.server.sealed and self.ran(key) == 1, 40)
        return self.server.sealed[job.id]

    def body(self, verb: str, **fields: Any) -> wire.CommandBody:
        """A command that has everything right, but for what is given."""
        hello = self.link.hello
        body = wire.CommandBody(
            secrets.token_hex(16),
            hello.agent_id,
            hello.nonce,
            PROJECT,
            verb,
            self.source,
            "",
            "",
            60,
        )
        return msgspec.structs.replace(body, **fields)

    def about(self, task: wire.TaskStarted, verb: str = "retry", **fields: Any) -> wire.CommandBody:
        """A command on that task, as the genuine server would make it."""
        fields = {"task_id": task.task_id, "task_name": task.name, "sealed": task.sealed, **fields}
        return self.body(verb, **fields)

    def broker(self) -> dict[str, Any]:
        """What the broker has, but for the worker's own signs of life."""
        found: dict[str, Any] = {"suspended": self.redis.get("rq:suspended")}
        for queue in (self.queue, self.parked):
            found[f"queue {queue}"] = self.redis.lrange(f"rq:queue:{queue}", 0, -1)
            for registry in ("failed", "scheduled", "canceled", "deferred"):
                found[f"{registry} {queue}"] = self.redis.zrange(f"rq:{registry}:{queue}", 0, -1)
        for job in self.jobs:
            found[job.id] = self.redis.hget(job.key, "status")
        return found

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            process.kill()
            process.wait(10)

    def is_gone(self) -> bool:
        return not psutil.pid_exists(self.pid)

    def close(self) -> None:
        self.kill()
        for queue in (self.queue, self.parked):
            for job_id in self.redis.lrange(f"rq:queue:{queue}", 0, -1):
                self.redis.delete(b"rq:job:" + job_id)
            self.redis.srem("rq:queues", f"rq:queue:{queue}")
        for job in self.jobs:
            self.redis.delete(job.key, f"rq:results:{job.id}")
        for name in self.redis.scan_iter(f"*{self.queue}*", count=1000):
            self.redis.delete(name)
            self.redis.srem("rq:workers", name)
        self.redis.close()
