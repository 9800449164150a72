# SPDX-License-Identifier: AGPL-3.0-only
"""Verbs on what waits in Huey's queues, on every storage that the agent can look into."""

import datetime
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huey import FileHuey, PriorityRedisHuey, RedisHuey, SqliteHuey
from huey.serializer import Serializer, SignedSerializer
from tests.support import spool
from tests.support.celery_worker import BROKER

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.huey.adapter import HueyEngine
from queuedeck_agent.engines.huey.boot import Boot
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine
Details = wire.CommandDetails
SECRET = "hunter2-and-more"
ALL = ["redis", "priority", "sqlite", "file", "gzip", "signed"]
RANKED = ["priority", "sqlite", "file"]
SEVERAL = ["redis", "priority", "sqlite", "gzip"]


def pay(order: int, password: str = "") -> int:
    return order


class Desk:
    """An application that sends, with two instances, and an agent with its adapter."""

    def __init__(self, kind: str, folder: Path) -> None:
        given = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(folder / "spool")}
        self.agent = Agent(config.from_env(given))
        self.folder, self.kind = folder, kind
        self.boot = Boot(lambda: self.agent)
        self.boot.connect()
        self.mail, self.post = (self._make(f"q{uuid.uuid4().hex[:10]}") for _ in range(2))
        self.tasks = [huey.task()(pay) for huey in (self.mail, self.post)]
        engine = self.boot.engine_of(self.mail)
        assert isinstance(engine, HueyEngine)
        assert self.boot.engine_of(self.post) is engine
        self.engine = engine
        self.name = next(iter(self.mail._registry._registry))

    def _make(self, name: str) -> Any:
        serializers = {
            "gzip": Serializer(compression=True),
            "signed": SignedSerializer(secret="signing"),
        }
        given: dict[str, Any] = {"serializer": serializers.get(self.kind)}
        if self.kind == "sqlite":
            made: Any = SqliteHuey(name, filename=str(self.folder / "huey.db"), **given)
        elif self.kind == "file":
            made = FileHuey(name, path=str(self.folder / "files"), **given)
        elif self.kind == "priority":
            made = PriorityRedisHuey(name, url=BROKER, **given)
        else:
            made = RedisHuey(name, url=BROKER, **given)
        made.flush()
        return made

    def send(self, order: int, *args: Any, **options: Any) -> str:
        task = self.tasks[0].s(order, *args, **options)
        self.mail.enqueue(task)
        return str(task.id)

    def schedule(self, order: int) -> str:
        """As a worker does with a message that it has taken before its time."""
        self.send(order)
        task = self.mail.dequeue()
        task.eta = datetime.datetime(2100, 1, 1)  # noqa: DTZ001 - as Huey keeps it
        self.mail.add_schedule(task)
        return str(task.id)

    def order(self, verb: str, task_id: str = "", name: str = "", **more: Any) -> wire.CommandDone:
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, self.engine.source.key, task_id,
            name or self.name, 60, queue=str(self.mail.name), details=Details(**more),
        )  # fmt: skip
        return self.engine.execute(command, b"")

    def events(self, kind: type[Any]) -> list[Any]:
        found = spool.events(self.folder / "spool")
        return [one for one in found if isinstance(one, kind)]

    def order_of(self, huey: Any) -> list[int]:
        """What its tasks are called with, in the order in which a worker takes them."""
        taken = iter(huey.dequeue, None)
        return [task.args[0] for task in taken]

    def close(self) -> None:
        self.boot.disconnect()
        for huey in (self.mail, self.post):
            huey.flush()
            huey.storage.close()
        self.agent.stop(0)


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(request.param, tmp_path)
    yield desk
    desk.close()


def on(*kinds: str) -> Any:
    return pytest.mark.parametrize("desk", kinds, indirect=True)


@on(*ALL)
def test_purge_counts_and_names_each_and_leaves_the_schedule(desk: Desk) -> None:
    later = desk.schedule(0)
    sent = {desk.send(number) for number in range(7)}
    done = desk.order("purge")
    assert (done.affected, desk.mail.pending_count(), desk.mail.scheduled_count()) == (7, 0, 1)
    told = desk.events(wire.TaskCancelled)
    assert {one.task_id for one in told} == sent
    assert {(one.reason, one.name, one.attempt) for one in told} == {("purged", desk.name, 1)}
    assert "1 scheduled" in done.effect
    assert [one.id for one in desk.mail.scheduled()] == [later]


@on("redis", "priority", "sqlite")
def test_purge_of_many_leaves_the_other_queue(desk: Desk) -> None:
    desk.post.enqueue(desk.tasks[1].s(1))
    for number in range(1_111):
        desk.send(number)
    assert desk.order("purge").affected == 1_111
    assert (desk.mail.pending_count(), desk.post.pending_count()) == (0, 1)
    assert len({one.task_id for one in desk.events(wire.TaskCancelled)}) == 1_111


@on("redis", "priority")
def test_large_messages_are_taken_in_small_steps(desk: Desk) -> None:
    large = "x" * 900_000
    sent = {desk.send(number, large) for number in range(12)}
    assert len(json.loads(desk.order("peek").found)) == 5  # 4 MB and one more
    assert desk.order("purge").affected == 12
    assert {one.task_id for one in desk.events(wire.TaskCancelled)} == sent


@on("redis")
def test_purge_says_how_many_it_could_not_read(desk: Desk) -> None:
    desk.send(1)
    desk.mail.storage.enqueue(b"not a message")
    done = desk.order("purge")
    assert (done.affected, len(desk.events(wire.TaskCancelled))) == (2, 1)
    assert "1 of them could not be read" in done.effect


@on(*ALL)
def test_peek_reads_in_the_order_of_the_queue_and_takes_nothing(desk: Desk) -> None:
    before = time.time_ns() // 1_000
    sent = [desk.send(number, SECRET) for number in range(3)]
    done = desk.order("peek", amount=2)
    found = json.loads(done.found)
    assert [one["id"] for one in found] == sent[:2]
    assert found[0]["args"]["args"] == [0, {"~redacted": "password"}]
    assert before <= found[0]["at_us"] <= time.time_ns() // 1_000
    assert SECRET.encode() not in done.found
    assert desk.order_of(desk.mail) == [0, 1, 2]


@on("redis")
def test_arguments_of_an_unknown_task_are_not_shown(desk: Desk) -> None:
    """Only its function says which of them is a password."""
    desk.send(1, SECRET)
    desk.tasks[0].unregister()
    (found,) = json.loads(desk.order("peek").found)
    assert (found["name"], found.get("args")) == (desk.name, None)


@on(*RANKED)
def test_priority_is_changed_in_place(desk: Desk) -> None:
    sent = [desk.send(number) for number in range(3)]
    assert desk.order("priority", sent[2], priority=5).verified
    task = next(one for one in desk.mail.pending() if one.id == sent[2])
    assert task.priority == 5
    (first, *_) = json.loads(desk.order("peek").found)
    assert (first["id"], first["priority"], first["attempt"]) == (sent[2], 5, 1)
    assert first["at_us"] > 0  # our stamp is still behind the message
    assert desk.order_of(desk.mail) == [2, 0, 1]


@on(*RANKED)
def test_priority_of_a_scheduled_task_keeps_its_time(desk: Desk) -> None:
    task_id = desk.schedule(1)
    assert desk.order("priority", task_id, priority=7).verified
    (task,) = desk.mail.scheduled()
    assert (task.id, task.priority, task.eta.year) == (task_id, 7, 2100)
    assert desk.mail.read_schedule(datetime.datetime(2099, 1, 1)) == []  # noqa: DTZ001
    assert len(desk.mail.read_schedule(datetime.datetime(2101, 1, 1))) == 1  # noqa: DTZ001


@on("file")
def test_priority_beyond_what_files_can_say_is_refused(desk: Desk) -> None:
    task_id = desk.send(1)
    with pytest.raises(CommandRefused, match="from 0 to 65535"):
        desk.order("priority", task_id, priority=1 << 16)
    assert desk.order_of(desk.mail) == [1]


@on("redis")
def test_list_has_no_priorities(desk: Desk) -> None:
    task_id = desk.send(1)
    with pytest.raises(CommandRefused, match="PriorityRedisHuey"):
        desk.order("priority", task_id, priority=1)
    with pytest.raises(CommandRefused, match="has no priorities"):
        desk.order("submit", args=b'{"args": [1]}', priority=1)
    assert desk.mail.pending_count() == 1


@on(*SEVERAL)
def test_moved_message_is_in_the_other_queue_only(desk: Desk) -> None:
    desk.post.enqueue(desk.tasks[1].s(10))
    first, second = desk.send(1), desk.send(2)
    assert desk.order("move", first, queue=str(desk.post.name)).verified
    assert [one.id for one in desk.mail.pending()] == [second]
    assert (desk.order_of(desk.post), desk.order_of(desk.mail)) == ([10, 1], [2])
    with pytest.raises(CommandRefused, match="No waiting message"):
        desk.order("move", first, queue=str(desk.post.name))


@on(*SEVERAL)
def test_moved_message_keeps_its_time(desk: Desk) -> None:
    task_id = desk.schedule(1)
    desk.order("move", task_id, queue=str(desk.post.name))
    assert desk.mail.scheduled_count() == 0
    assert [one.id for one in desk.post.scheduled()] == [task_id]
    assert desk.post.read_schedule(datetime.datetime(2099, 1, 1)) == []  # noqa: DTZ001


@on("redis")
def test_move_to_who_does_not_know_the_task_is_refused(desk: Desk) -> None:
    task_id = desk.send(1)
    desk.tasks[1].unregister()
    with pytest.raises(CommandRefused, match="not found in TaskRegistry"):
        desk.order("move", task_id, queue=str(desk.post.name))
    with pytest.raises(CommandRefused, match="no Huey instance named `nowhere`"):
        desk.order("move", task_id, queue="nowhere")
    assert desk.order_of(desk.mail) == [1]


@on("file")
def test_instances_on_one_folder_share_one_queue(desk: Desk) -> None:
    with pytest.raises(CommandRefused, match="share one queue"):
        desk.order("move", desk.send(1), queue=str(desk.post.name))


@on("file")
def test_file_of_a_cancelled_task_is_removed(desk: Desk) -> None:
    later, gone, _ = desk.schedule(1), desk.send(2), desk.send(3)
    assert [desk.order("cancel", one).verified for one in (gone, later)] == [True, True]
    assert (desk.order_of(desk.mail), desk.mail.scheduled_count()) == ([3], 0)
    assert desk.mail.result_count() == 0


@on(*ALL)
def test_reconcile_finds_queue_schedule_and_result(desk: Desk) -> None:
    done, waits, later = desk.send(1), "", ""
    desk.mail.execute(desk.mail.dequeue())
    later, waits = desk.schedule(2), desk.send(3)
    said = [json.loads(desk.order("reconcile", one).found)["state"] for one in (done, waits, later)]
    assert said == ["succeeded", "queued", "scheduled"]
    assert desk.mail.result(done) == 1  # it is still there
    assert json.loads(desk.order("reconcile", "x").found)["state"] == "gone"


@on("redis")
def test_reconcile_tells_a_failure(desk: Desk) -> None:
    task_id = desk.send("not a number", 1, 2, 3)  # pyright: ignore[reportArgumentType]
    desk.mail.execute(desk.mail.dequeue())
    assert json.loads(desk.order("reconcile", task_id).found)["state"] == "failed"


@on("redis")
def test_submit_takes_queue_and_delay_and_names_what_is_near(desk: Desk) -> None:
    done = desk.order("submit", args=b'{"args": [1]}', delay_s=60, queue=str(desk.post.name))
    (task,) = desk.post.pending()
    wait_s = (task.eta - datetime.datetime.utcnow()).total_seconds()  # noqa: DTZ003 - as Huey
    assert (task.id, 50 < wait_s < 61) == (done.new_task_id, True)
    with pytest.raises(CommandRefused, match=f"has no task.*{desk.name}"):
        desk.order("submit", name=f"{desk.name}s", args=b'{"args": [1]}')


@on("redis")
def test_verbs_of_a_consumer_are_not_for_a_process_that_sends(desk: Desk) -> None:
    for verb in ("pause", "resume", "drain", "undrain", "restart"):
        with pytest.raises(CommandRefused, match="only sends"):
            desk.order(verb)
