# SPDX-License-Identifier: AGPL-3.0-only
"""Retry and cancel by Huey instances of this process: done, verified, or refused with a reason."""

import datetime
import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import payload
from huey import PriorityRedisHuey, RedisHuey, SqliteHuey
from huey.serializer import Serializer
from tests.support import spool
from tests.support.celery_worker import BROKER
from tests.support.huey_worker import Worker

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.huey.adapter import HueyEngine
from queuedeck_agent.engines.huey.boot import Boot
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine


class Far:
    """An agent in this process. Its Huey instance has the worker's queue, or one of its own."""

    def __init__(self, folder: Path) -> None:
        environment = {"QUEUEDECK_SPOOL": str(folder)}
        self.agent = Agent(config.from_env({"QUEUEDECK_DSN": spool.dsn(), **environment}))
        self.boot = Boot(lambda: self.agent)
        self.boot.connect()
        self.folder = folder

    def execute(
        self, engine: HueyEngine, verb: str, task: tuple[str, str], sealed: bytes = b""
    ) -> wire.CommandDone:
        task_id, name = task
        source = engine.source.key
        call = self.agent.seals.open("shop", source, name, task_id, sealed) if sealed else b""
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, source, task_id, name, 60
        )
        return engine.execute(command, call)

    def engine(self, huey: Any) -> HueyEngine:
        engine = self.boot.engine_of(huey)
        assert engine is not None
        return engine

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in spool.events(self.folder) if isinstance(event, kind)]

    def close(self) -> None:
        self.boot.disconnect()
        self.agent.stop(0)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    far = Far(tmp_path / "far")
    yield far
    far.close()


MakeHuey = Callable[[str], Any]


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[MakeHuey]:
    made: list[Any] = []

    def make(kind: str) -> Any:
        name = f"t{uuid.uuid4().hex[:10]}{kind}"
        if kind == "sqlite":
            made.append(SqliteHuey(name, filename=str(tmp_path / "huey.db")))
        elif kind == "priority":
            made.append(PriorityRedisHuey(name, url=BROKER))
        else:
            packed = Serializer(compression=kind == "gzip")
            made.append(RedisHuey(name, url=BROKER, serializer=packed))
        made[-1].flush()
        return made[-1]

    yield make
    for huey in made:
        huey.flush()
        huey.storage.close()


def add(x: int, y: int = 0) -> int:
    return x + y


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("huey")).start()
    yield worker
    worker.close()


NAME = "tests.support.huey_tasks.digest"


def instance_of(worker: Worker) -> Any:
    """What the application of the worker has: its queue and its task."""
    huey = RedisHuey(worker.queue, url=BROKER)

    def digest(*args: Any, **kwargs: Any) -> None: ...

    digest.__module__ = "tests.support.huey_tasks"
    huey.task()(digest)
    return huey


@pytest.mark.parametrize("how", ["attached", "send"])
def test_retry_runs_again_with_the_original_arguments(worker: Worker, far: Far, how: str) -> None:
    engine = far.engine(instance_of(worker))
    first = getattr(worker, how)(f"digest(*{payload.ARGS!r}, **{payload.KWARGS!r}).id")
    worker.event(wire.TaskSucceeded, first)
    kind: Any = wire.TaskPublished if how == "attached" else wire.TaskStarted
    done = far.execute(engine, "retry", (first, NAME), worker.event(kind, first).sealed)
    worker.event(wire.TaskSucceeded, done.new_task_id)
    digest = hashlib.sha256(repr((tuple(payload.ARGS), payload.KWARGS)).encode()).hexdigest()
    told = [line[1:] for line in worker.told("digest") if line[1] in (first, done.new_task_id)]
    assert told == [[first, digest], [done.new_task_id, digest]]
    assert done.verified
    (published,) = far.events(wire.TaskPublished)
    assert (published.retry_of, published.task_id) == (first, done.new_task_id)
    assert payload.SECRET.encode() not in spool.whole_bytes(far.folder)
    again = far.execute(engine, "retry", (done.new_task_id, NAME), published.sealed)
    worker.event(wire.TaskSucceeded, again.new_task_id)


def test_retry_keeps_priority_and_retries_and_drops_the_pipeline(
    far: Far, make_instance: MakeHuey
) -> None:
    huey = make_instance("priority")
    task = huey.task(retries=1)(add)
    sent = task.s(1, y=2, priority=5, retries=4).then(task, 1)
    huey.enqueue(sent)
    published = far.events(wire.TaskPublished)[0]
    engine = far.engine(huey)
    done = far.execute(engine, "retry", (sent.id, published.name), published.sealed)
    assert "It runs alone" in done.effect
    made = next(one for one in huey.pending() if one.id == done.new_task_id)
    assert (made.args, made.kwargs, made.priority, made.retries) == ((1,), {"y": 2}, 5, 4)
    assert made.on_complete is None


def test_retry_of_what_this_process_does_not_know_is_refused(
    far: Far, make_instance: MakeHuey
) -> None:
    huey = make_instance("redis")
    task = huey.task()(add)
    sent = task.s(1)
    huey.enqueue(sent)
    published = far.events(wire.TaskPublished)[0]
    engine = far.engine(huey)
    with pytest.raises(CommandRefused, match="cannot be read"):
        engine.execute(wire.CommandBody("0", "", b"", "shop", "retry", "", "x", "y", 60), b"no")
    task.unregister()
    with pytest.raises(CommandRefused, match="not found in TaskRegistry"):
        far.execute(engine, "retry", (sent.id, published.name), published.sealed)
    engine.hueys.clear()
    with pytest.raises(CommandRefused, match="no Huey instance named"):
        far.execute(engine, "retry", (sent.id, published.name), published.sealed)
    assert len(far.events(wire.TaskPublished)) == 1


@pytest.mark.parametrize("kind", ["redis", "priority", "sqlite", "gzip"])
@pytest.mark.parametrize("delayed", [False, True])
def test_waiting_task_is_taken_out(
    far: Far, make_instance: MakeHuey, kind: str, delayed: bool
) -> None:
    huey = make_instance(kind)
    task = huey.task()(add)
    kept, gone = task.s(1), task.s(2)
    for one in (kept, gone):
        huey.enqueue(one)
    if delayed:
        one = huey.dequeue()
        other = huey.dequeue()
        for each in (one, other):
            each.eta = datetime.datetime(2100, 1, 1)  # noqa: DTZ001 - as Huey keeps it
            huey.add_schedule(each)
    done = far.execute(far.engine(huey), "cancel", (gone.id, "tests.add"))
    assert done.verified
    left = huey.scheduled() if delayed else huey.pending()
    assert [one.id for one in left] == [kept.id]
    assert huey.result_count() == 0
    (cancelled,) = far.events(wire.TaskCancelled)
    assert (cancelled.task_id, cancelled.reason, cancelled.attempt) == (gone.id, "revoked", 1)


def test_task_that_is_nowhere_is_revoked_and_not_yet_verified(
    far: Far, make_instance: MakeHuey
) -> None:
    huey = make_instance("redis")
    task = huey.task()(add)
    sent = task.s(1)
    huey.enqueue(sent)
    taken = huey.dequeue()
    done = far.execute(far.engine(huey), "cancel", (sent.id, "tests.add"))
    assert not done.verified
    huey.execute(taken)
    assert [one.reason for one in far.events(wire.TaskCancelled)] == ["revoked"]
    assert far.events(wire.TaskStarted) == []
    assert huey.result_count() == 0


def test_running_task_cannot_be_stopped(far: Far, make_instance: MakeHuey) -> None:
    engine = far.engine(make_instance("redis"))
    with pytest.raises(CommandRefused, match="cannot stop"):
        far.execute(engine, "terminate", ("x", "tests.add"))
    with pytest.raises(CommandRefused, match="no dead letters"):
        far.execute(engine, "requeue", ("x", "tests.add"))


def test_capabilities_and_info_describe_the_instances(far: Far, make_instance: MakeHuey) -> None:
    huey = make_instance("redis")
    huey.task(name="known")(add)
    engine = far.engine(huey)
    found = {one.verb: one for one in engine.capabilities()}
    assert (found["retry"].how, found["cancel"].how) == ("emulated", "native")
    assert all(one.reason for one in found.values())
    info = engine.info()
    assert (info.engine, info.role, info.worker) == ("huey", "producer", "")
    assert any(name.endswith(".known") for name in info.tasks)


def test_storages_of_a_process_are_adapters_side_by_side(far: Far, make_instance: MakeHuey) -> None:
    first, second = make_instance("redis"), make_instance("sqlite")
    one, other = far.engine(first), far.engine(second)
    assert one is not other
    assert far.agent.engine_of(one.source.key) is one
    assert far.agent.engine_of(other.source.key) is other


def test_disconnected_adapter_leaves_nothing_behind(far: Far, make_instance: MakeHuey) -> None:
    huey = make_instance("redis")
    far.engine(huey)
    far.boot.disconnect()
    huey.enqueue(huey.task()(add).s(1))
    assert far.events(wire.TaskEvent) == []
    assert huey._post_execute == {}


def test_connecting_twice_reports_once(far: Far, make_instance: MakeHuey) -> None:
    Boot(lambda: far.agent).connect()
    huey = make_instance("redis")
    huey.enqueue(huey.task()(add).s(1))
    huey.execute(huey.dequeue())
    kinds = [type(event).__name__ for event in far.events(wire.TaskEvent)]
    assert kinds == ["TaskPublished", "TaskStarted", "TaskSucceeded"]
