# SPDX-License-Identifier: AGPL-3.0-only
"""Verbs of taskiq where lists, streams, several brokers and a receiver have ways of their own."""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from taskiq import SimpleRetryMiddleware
from taskiq.api import run_receiver_task
from taskiq.kicker import AsyncKicker
from tests.support import (
    spool,
    taskiq_pins,  # noqa: F401 - before taskiq_redis
)
from tests.support.celery_worker import BROKER, eventually
from tests.support.queue_keys import clear

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import stays
from queuedeck_agent.engines.taskiq import boot as taskiq_boot
from queuedeck_agent.engines.taskiq import redis as taskiq_redis
from queuedeck_agent.engines.taskiq.adapter import TaskiqEngine
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.paused import Paused

from taskiq_redis import (  # isort: skip
    ListQueueBroker,
    PubSubBroker,
    RedisAsyncResultBackend,
    RedisStreamBroker,
)

pytestmark = pytest.mark.engine
ALLOW = ",".join(sorted(set(wire.VERBS.values())))


class App:
    """An application in this process: an agent, an event loop in a thread, and brokers."""

    def __init__(self, folder: Path, queue: str) -> None:
        environment = {"QUEUEDECK_SPOOL": str(folder), "QUEUEDECK_ALLOW": ALLOW}
        self.agent = Agent(config.from_env({"QUEUEDECK_DSN": spool.dsn(), **environment}))
        self.folder = folder
        self.queue = queue
        self.redis = redis.Redis.from_url(BROKER, decode_responses=True)
        self.brokers: list[Any] = []
        self.receivers: list[Any] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def broker(self, kind: type[Any] = ListQueueBroker, queue: str = "", **options: Any) -> Any:
        made: Any = kind(options.pop("url", BROKER), queue_name=queue or self.queue, **options)
        made.with_middlewares(SimpleRetryMiddleware())
        made.register_task(nap, task_name="nap")
        made.register_task(block, task_name="block")
        self.use(made)
        return made

    def use(self, made: Any) -> None:
        assert taskiq_boot.follow(made, lambda: self.agent) is not None
        self.brokers.append(made)
        self.run(made.startup())

    def work(self, broker: Any) -> None:
        async def work() -> None:
            receiver = run_receiver_task(broker, sync_workers=1)
            self.receivers.append(asyncio.ensure_future(receiver))

        self.run(work())
        eventually(lambda: any(one.role == "worker" for one in self.engine.lines))

    def send(self, broker: Any, name: str = "nap", *args: Any, **labels: Any) -> str:
        kicker: Any = AsyncKicker(name, broker, labels)
        return self.run(kicker.kiq(*args)).task_id

    @property
    def engine(self) -> TaskiqEngine:
        engine = self.agent.engines[0]
        assert isinstance(engine, TaskiqEngine)
        return engine

    def execute(
        self, verb: str, task_id: str = "", name: str = "nap", queue: str = "", **details: Any
    ) -> wire.CommandDone:
        engine = self.engine
        given = wire.CommandDetails(queue=details.pop("target", ""), **details)
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, engine.source.key, task_id, name, 60,
            queue=queue or self.queue, details=given,
        )  # fmt: skip
        return engine.execute(command, b"")

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in spool.events(self.folder) if isinstance(event, kind)]

    def ids(self, kind: type[Any]) -> list[str]:
        return [event.task_id for event in self.events(kind)]

    def waiting(self, queue: str = "") -> list[str]:
        """The oldest first."""
        found: Any = self.redis.lrange(queue or self.queue, 0, -1)
        return [json.loads(one)["task_id"] for one in found[::-1]]

    def group(self, name: str = "taskiq") -> dict[str, Any]:
        found: Any = self.redis.xinfo_groups(self.queue)
        return next(one for one in found if one["name"] == name)

    def blocked(self) -> int:
        """Questions about our queue that wait in Redis."""
        found: Any = self.redis.client_list()
        return sum("b" in one["flags"] and one["cmd"] in ("brpop", "xreadgroup") for one in found)

    def close(self) -> None:
        async def stop() -> None:
            for one in self.receivers:
                one.cancel()
            await asyncio.gather(*self.receivers, return_exceptions=True)
            for broker in self.brokers:
                await broker.shutdown()

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        for engine in list(self.agent.engines):
            engine.detach()
        self.agent.stop(0)
        self.redis.close()


async def nap(seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return "slept"


def block(seconds: float) -> str:
    time.sleep(seconds)
    return "blocked"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path / "spool", f"v{uuid.uuid4().hex[:10]}")
    yield app
    app.close()
    clear(app.queue)


# --- Several brokers ---


def test_brokers_of_one_redis_are_one_source_and_each_has_its_commands(app: App) -> None:
    first, other = app.broker(), app.broker(queue=f"{app.queue}-other")
    assert len(app.agent.engines) == 1
    done = app.execute("submit", target=f"{app.queue}-other", args=b"{}")
    assert app.waiting(f"{app.queue}-other") == [done.new_task_id]
    stays_here = app.send(first)
    app.send(other)
    assert app.execute("purge", queue=f"{app.queue}-other").affected == 2
    assert (app.waiting(), app.waiting(f"{app.queue}-other")) == ([stays_here], [])


def test_list_and_stream_of_one_redis_are_purged_each_in_its_way(app: App) -> None:
    app.send(app.broker())
    app.send(app.broker(RedisStreamBroker, queue=f"{app.queue}-stream"))
    assert app.execute("purge", queue=f"{app.queue}-stream").affected == 1
    assert app.execute("purge").affected == 1


def test_brokers_of_two_redis_are_two_sources(app: App) -> None:
    app.broker()
    app.broker(url=BROKER.rpartition("/")[0] + "/11")
    keys = {one.info().source for one in app.agent.engines}
    assert len(keys) == len(app.agent.engines) == 2
    assert all(app.agent.engine_of(key) is not None for key in keys)


def test_broker_that_nobody_uses_any_more_gets_no_commands(app: App) -> None:
    app.broker()
    loop = asyncio.new_event_loop()
    gone: Any = ListQueueBroker(BROKER, queue_name=f"{app.queue}-gone")
    taskiq_boot.follow(gone, lambda: app.agent)
    loop.run_until_complete(gone.startup())
    loop.run_until_complete(gone.shutdown())
    loop.close()
    assert len(app.engine.lines) == 2
    done = app.execute("submit", target=f"{app.queue}-gone", args=b"{}")
    assert app.waiting(f"{app.queue}-gone") == [done.new_task_id]


# --- Lists ---


def test_purge_of_a_list_is_exact_over_several_steps(app: App) -> None:
    broker = app.broker()

    async def send(count: int) -> list[str]:
        kicker: Any = AsyncKicker("nap", broker, {})
        return [(await kicker.with_task_id(f"t{n}").kiq()).task_id for n in range(count)]

    sent = app.run(send(taskiq_redis.CHUNK * 2 + 7))
    app.redis.rpush(app.queue, "somebody else's")
    done = app.execute("purge")
    assert (done.affected, app.redis.llen(app.queue)) == (len(sent) + 1, 0)
    assert app.ids(wire.TaskCancelled) == sent


@pytest.mark.parametrize("kind", [ListQueueBroker, RedisStreamBroker])
def test_messages_are_purged_or_run_while_a_worker_takes_them(app: App, kind: type[Any]) -> None:
    """Each one exactly one of both."""
    broker = app.broker(kind)
    options: dict[str, Any] = {} if kind is ListQueueBroker else {"xread_count": 10}
    app.work(app.broker(kind, **options))

    async def send() -> list[str]:
        kicker: Any = AsyncKicker("nap", broker, {})
        return [(await kicker.kiq(0.05)).task_id for _ in range(400)]

    sending = asyncio.run_coroutine_threadsafe(send(), app.loop)
    eventually(lambda: app.events(wire.TaskStarted))
    affected = sum(app.execute("purge").affected for _ in range(5))
    sent = sending.result(20)
    affected += app.execute("purge").affected
    purged = app.ids(wire.TaskCancelled)
    eventually(lambda: len(app.events(wire.TaskSucceeded)) + len(purged) == len(sent))
    assert affected == len(purged) > 0
    assert sorted(app.ids(wire.TaskStarted) + purged) == sorted(sent)


def test_move_leaves_no_copy_when_a_worker_was_faster(app: App) -> None:
    broker, target = app.broker(), f"{app.queue}-other"
    app.send(broker)
    data: Any = app.redis.lindex(app.queue, 0)
    app.redis.lpush(target, "first")
    app.redis.delete(app.queue)
    moved = app.run(taskiq_redis.move_in_lists(broker, app.queue, target, data.encode()))
    assert not moved
    assert app.redis.lrange(target, 0, -1) == ["first"]


def test_message_is_not_lost_when_the_target_is_no_list(app: App) -> None:
    broker, target = app.broker(), f"{app.queue}-text"
    task_id = app.send(broker)
    app.redis.set(target, "a text")
    with pytest.raises(Exception, match="WRONGTYPE"):
        app.execute("move", task_id, target=target)
    assert app.waiting() == [task_id]
    assert "already" in app.execute("move", task_id, target=app.queue).effect
    assert app.waiting() == [task_id]


# --- Streams ---


def test_purge_of_a_stream_takes_what_was_not_given_out(app: App) -> None:
    broker = app.broker(RedisStreamBroker)
    sent = [app.send(broker) for _ in range(4)]
    app.redis.xreadgroup("taskiq", "somebody", {app.queue: ">"}, count=1)
    done = app.execute("purge")
    assert (done.affected, done.verified) == (3, True)
    assert app.ids(wire.TaskCancelled) == sent[1:]
    assert app.redis.xlen(app.queue) == 2  # what was given out, and the group's place
    assert (app.group()["pending"], app.group()["lag"]) == (1, 0)
    app.send(broker)
    assert app.group()["lag"] == 1
    assert app.redis.xreadgroup("taskiq", "somebody", {app.queue: ">"})


def test_purge_of_a_stream_is_exact_over_several_steps(app: App) -> None:
    broker = app.broker(RedisStreamBroker)

    async def send(count: int) -> None:
        kicker: Any = AsyncKicker("nap", broker, {})
        for _ in range(count):
            await kicker.kiq()

    app.run(send(taskiq_redis.CHUNK * 2 + 7))
    assert app.execute("purge").affected == taskiq_redis.CHUNK * 2 + 7
    assert app.redis.xlen(app.queue) == 1
    app.run(send(2))
    assert app.group()["lag"] == 2


def test_purge_of_a_stream_leaves_other_groups_their_entries(app: App) -> None:
    broker = app.broker(RedisStreamBroker)
    app.redis.xgroup_create(app.queue, "audit", "0")
    for _ in range(3):
        app.send(broker)
    assert app.execute("purge").affected == 3
    assert (app.group()["lag"], app.group("audit")["lag"]) == (0, 3)
    read: Any = app.redis.xreadgroup("audit", "x", {app.queue: ">"})
    assert len(read[0][1]) == 3
    assert app.redis.xreadgroup("taskiq", "x", {app.queue: ">"}) == []


def test_peek_into_a_stream_gives_nothing_out(app: App) -> None:
    broker = app.broker(RedisStreamBroker)
    sent = [app.send(broker) for _ in range(3)]
    app.redis.xreadgroup("taskiq", "somebody", {app.queue: ">"}, count=1)
    seen = json.loads(app.execute("peek", amount=5).found)
    assert [one["id"] for one in seen] == sent[1:]
    assert app.group()["lag"] == 2


def test_stream_says_what_it_cannot(app: App) -> None:
    task_id = app.send(app.broker(RedisStreamBroker))
    with pytest.raises(CommandRefused, match="middle of a stream"):
        app.execute("move", task_id, target="elsewhere")
    with pytest.raises(CommandRefused, match="own queue only"):
        app.execute("submit", target="elsewhere", args=b"{}")
    with pytest.raises(CommandRefused, match="no priorities"):
        app.execute("submit", args=b"{}", priority=1)
    with pytest.raises(CommandRefused, match="needs a schedule"):
        app.execute("submit", args=b"{}", delay_s=5)
    assert app.group()["lag"] == 1


# --- Pause ---


@pytest.mark.parametrize("kind", [ListQueueBroker, RedisStreamBroker])
def test_question_that_waits_in_redis_ends_with_the_pause(app: App, kind: type[Any]) -> None:
    broker = app.broker(kind)
    before = app.blocked()
    app.work(broker)
    eventually(lambda: app.blocked() > before)
    assert app.execute("pause").verified
    eventually(lambda: app.blocked() <= before, 1.0)
    task_id = app.send(broker)
    assert stays(lambda: not app.events(wire.TaskStarted), 0.6)
    app.execute("resume")
    eventually(lambda: app.ids(wire.TaskSucceeded) == [task_id])


def test_message_goes_back_to_its_place_when_another_process_paused(app: App) -> None:
    """The question waits in Redis already, and nobody here knows of the pause."""
    broker = app.broker()
    before = app.blocked()
    app.work(broker)
    eventually(lambda: app.blocked() > before)
    Paused(app.agent.spool.folder).add(app.engine.source.key, app.queue)
    time.sleep(0.3)
    first, second = app.send(broker), app.send(broker)
    eventually(lambda: app.waiting() == [first, second])
    assert stays(lambda: app.waiting() == [first, second], 0.6)
    assert app.events(wire.TaskStarted) == []
    app.execute("resume")
    eventually(lambda: app.ids(wire.TaskSucceeded) == [first, second])


def test_other_stream_of_a_broker_is_read_while_one_is_paused(app: App) -> None:
    more = f"{app.queue}-more"
    broker = app.broker(RedisStreamBroker, additional_streams={more: ">"})
    app.agent.paused.add(app.engine.source.key, app.queue)
    app.work(broker)
    held = app.send(broker)
    sender = app.broker(RedisStreamBroker, queue=more)
    runs = app.send(sender)
    eventually(lambda: app.ids(wire.TaskSucceeded) == [runs])
    app.execute("resume")
    eventually(lambda: app.ids(wire.TaskSucceeded) == [runs, held])


def test_broker_that_listens_in_its_own_way_is_not_paused(app: App) -> None:
    class Own(ListQueueBroker):
        async def listen(self) -> AsyncGenerator[bytes, None]:
            async for message in super().listen():
                yield message

    app.work(app.broker(Own))
    with pytest.raises(CommandRefused, match="`listen` of its own"):
        app.execute("pause")


def test_broker_that_is_no_queue_says_so(app: App) -> None:
    app.broker(PubSubBroker)
    for verb in ("purge", "peek", "move"):
        with pytest.raises(CommandRefused, match="another broker"):
            app.execute(verb)


# --- Running tasks ---


def test_stopped_task_is_not_retried_by_a_middleware(app: App) -> None:
    broker = app.broker()
    app.work(broker)
    task_id = app.send(broker, "nap", 30, retry_on_error=True, max_retries=3)
    eventually(lambda: app.ids(wire.TaskStarted) == [task_id])
    assert app.execute("terminate", task_id).verified
    after = app.send(broker)
    eventually(lambda: app.ids(wire.TaskSucceeded) == [after])
    assert app.ids(wire.TaskStarted) == [task_id, after]
    assert app.events(wire.TaskCancelled)[0].reason == "terminated"


def test_plain_function_cannot_be_stopped(app: App) -> None:
    broker = app.broker()
    app.work(broker)
    task_id = app.send(broker, "block", 0.5)
    eventually(lambda: app.ids(wire.TaskStarted) == [task_id])
    with pytest.raises(CommandRefused, match="plain function"):
        app.execute("terminate", task_id, "block")
    eventually(lambda: app.ids(wire.TaskSucceeded) == [task_id])
    with pytest.raises(CommandRefused, match="does not run in this process"):
        app.execute("terminate", task_id, "block")


@pytest.mark.parametrize(("keep", "state"), [(True, "succeeded"), (False, "gone")])
def test_result_that_reading_would_delete_is_not_read(app: App, keep: bool, state: str) -> None:
    backend: Any = RedisAsyncResultBackend(BROKER, keep_results=keep, prefix_str=app.queue)
    broker: Any = ListQueueBroker(BROKER, queue_name=app.queue).with_result_backend(backend)
    broker.register_task(nap, task_name="nap")
    app.use(broker)
    app.work(broker)
    task_id = app.send(broker)
    eventually(lambda: app.redis.exists(f"{app.queue}:{task_id}"))
    found = json.loads(app.execute("reconcile", task_id).found)
    assert (found["state"], "stored" in found["where"]) == (state, True)
    assert app.redis.exists(f"{app.queue}:{task_id}")


def test_submit_of_an_unknown_task_names_what_is_near(app: App) -> None:
    app.broker()
    with pytest.raises(CommandRefused, match="`nap`"):
        app.execute("submit", name="napp", args=b"{}")
    assert app.waiting() == []
