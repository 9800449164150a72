# SPDX-License-Identifier: AGPL-3.0-only
"""Verbs on what waits in Dramatiq's queues, against real brokers without a worker."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.message import Message
from tests.agent.engines.test_dramatiq_gate import RABBIT
from tests.agent.engines.test_dramatiq_gate import _rabbit as needs_rabbit
from tests.support import spool
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import unchanged

from queuedeck_agent import config, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.dramatiq import boot as dramatiq_boot
from queuedeck_agent.errors import CommandRefused

pytestmark = pytest.mark.engine
Details = wire.CommandDetails
SECRET = "hunter2-and-more"


def pay(order: int, password: str = "") -> None: ...


class Desk:
    """An application that sends, and an agent with its adapter."""

    def __init__(self, broker: Any, folder: Path, **environment: str) -> None:
        given = {"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(folder), **environment}
        self.agent = Agent(config.from_env(given))
        self.broker, self.folder = broker, folder
        boot = dramatiq_boot.follow(broker, lambda: self.agent)
        assert boot is not None
        self.actor = dramatiq.actor(pay, broker=broker, queue_name="mail", actor_name="shop.pay")
        broker.declare_queue("post")
        engine = boot.ready("producer")
        assert engine is not None
        self.engine = engine

    def order(
        self, verb: str, task_id: str = "", name: str = "shop.pay", queue: str = "mail", **more: Any
    ) -> wire.CommandDone:
        command = wire.CommandBody(
            "0" * 32, self.agent.family, b"", "shop", verb, self.engine.source.key, task_id, name,
            60, queue=queue, details=Details(**more),
        )  # fmt: skip
        return self.engine.execute(command, b"")

    def events(self, kind: type[Any]) -> list[Any]:
        return [one for one in spool.events(self.folder) if isinstance(one, kind)]

    def key(self, name: str) -> str:
        return f"{self.broker.namespace}:{name}"

    def bury(self, *args: Any, **options: Any) -> str:
        """A dead letter, by the broker's own step."""
        sent = self.actor.send_with_options(args=args, **options).message_id
        consumer = self.broker.consume("mail", prefetch=100, timeout=50)
        held = next(consumer)
        held.fail()
        consumer.nack(held)
        return sent


def arguments(*args: Any, **kwargs: Any) -> bytes:
    return json.dumps({"args": args, "kwargs": kwargs}).encode()


@pytest.fixture
def broker() -> Iterator[Any]:
    broker = RedisBroker(url=BROKER, namespace=f"q{uuid.uuid4().hex[:10]}")
    yield broker
    for key in broker.client.scan_iter(f"{broker.namespace}:*"):
        broker.client.delete(key)
    broker.close()


@pytest.fixture
def desk(broker: Any, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(broker, tmp_path)
    yield desk
    desk.agent.stop(0)


def test_purge_of_many_counts_and_names_each(desk: Desk) -> None:
    sent = {desk.actor.send(number).message_id for number in range(1_234)}
    done = desk.order("purge")
    assert (done.affected, desk.broker.client.llen(desk.key("mail"))) == (1_234, 0)
    assert desk.broker.client.hlen(desk.key("mail.msgs")) == 0
    assert {one.task_id for one in desk.events(wire.TaskCancelled)} == sent


def test_purge_leaves_dead_delayed_and_taken_messages(desk: Desk) -> None:
    desk.bury(1)
    desk.actor.send_with_options(args=(2,), delay=600_000)
    desk.actor.send(3)
    held = next(desk.broker.consume("mail", prefetch=1, timeout=50))
    desk.actor.send(4)
    done = desk.order("purge")
    assert done.affected == 1
    assert "Left alone: 1 delayed messages, 1 dead letters" in done.effect
    client = desk.broker.client
    assert client.hlen(desk.key("mail.msgs")) == 1
    assert client.hexists(desk.key("mail.msgs"), held.options["redis_message_id"])
    assert (client.zcard(desk.key("mail.XQ")), client.llen(desk.key("mail.DQ"))) == (1, 1)


def test_large_messages_are_taken_in_small_steps(desk: Desk) -> None:
    large = "x" * 900_000
    sent = {desk.actor.send(number, password=large).message_id for number in range(12)}
    shown = json.loads(desk.order("peek").found)
    assert len(shown) == 5  # 4 MB and one more
    assert desk.order("purge").affected == 12
    assert {one.task_id for one in desk.events(wire.TaskCancelled)} == sent


def test_requeue_of_a_cancelled_one_is_refused(desk: Desk) -> None:
    """Workers with the agent would skip it again."""
    task_id = desk.bury(1)
    desk.agent.cancelled.add([(desk.engine.source.key, task_id)])
    with pytest.raises(CommandRefused, match="was cancelled here"):
        desk.order("requeue", task_id)
    assert desk.broker.client.zcard(desk.key("mail.XQ")) == 1


def test_purge_says_how_many_it_could_not_read(desk: Desk) -> None:
    desk.actor.send(1)
    desk.broker.client.hset(desk.key("mail.msgs"), "strange", b"\x80not a message")
    desk.broker.client.rpush(desk.key("mail"), "strange", "without-a-message")
    done = desk.order("purge")
    assert (done.affected, len(desk.events(wire.TaskCancelled))) == (3, 1)
    assert "2 of them could not be read" in done.effect


def test_peek_and_dead_change_nothing_and_hide_secrets(desk: Desk) -> None:
    trace = "Traceback\nValueError: cannot log in with password=sesame\n"
    dead = desk.bury(1, SECRET, traceback=trace)
    waits = desk.actor.send(2, SECRET).message_id
    with unchanged(desk.broker.namespace):
        peeked, buried = desk.order("peek"), desk.order("dead")
    (first,), (second,) = json.loads(peeked.found), json.loads(buried.found)
    assert (first["id"], second["id"]) == (waits, dead)
    assert first["args"]["args"] == [2, {"~redacted": "password"}]
    assert second["error"] == "ValueError: cannot log in with password=[redacted: secret]"
    assert abs(second["at_us"] / 1_000_000 - time.time()) < 10
    assert SECRET.encode() not in peeked.found + buried.found


def test_arguments_of_an_unknown_actor_are_not_shown(desk: Desk) -> None:
    """Only its function says which of them is a password."""
    desk.broker.enqueue(Message("mail", "shop.elsewhere", (SECRET,), {}, {}))
    (found,) = json.loads(desk.order("peek").found)
    assert (found["name"], found.get("args")) == ("shop.elsewhere", None)


def test_requeued_dead_letter_begins_anew(desk: Desk) -> None:
    task_id = desk.bury(1, retries=4, traceback="old", max_age=60_000)
    published = desk.events(wire.TaskPublished)
    done = desk.order("requeue", name="", ids=(task_id, "gone"))
    assert (done.affected, "1 of 2 dead letters" in done.effect) == (1, True)
    message = next(desk.broker.consume("mail", prefetch=1, timeout=50))
    assert message.message_id == task_id
    assert not {"retries", "traceback"} & set(message.options)
    assert desk.broker.client.zcard(desk.key("mail.XQ")) == 0
    assert desk.broker.client.hlen(desk.key("mail.XQ.msgs")) == 0
    again = desk.events(wire.TaskPublished)[len(published) :]
    assert [(one.task_id, one.attempt) for one in again] == [(task_id, 1)]
    with pytest.raises(CommandRefused, match="requeued already"):
        desk.order("requeue", task_id)


def test_requeue_asks_the_policy_for_each_task(broker: Any, tmp_path: Path) -> None:
    desk = Desk(broker, tmp_path, QUEUEDECK_ALLOW_TASKS="mail.*")
    task_id = desk.bury(1)
    with pytest.raises(CommandRefused, match="QUEUEDECK_ALLOW_TASKS"):
        desk.order("requeue", task_id, name="mail.send")
    assert broker.client.zcard(desk.key("mail.XQ")) == 1
    desk.agent.stop(0)


@pytest.mark.parametrize(("delay", "kind"), [(None, ""), (600_000, ".DQ")])
def test_moved_message_keeps_its_id_and_its_delay(desk: Desk, delay: Any, kind: str) -> None:
    task_id = desk.actor.send_with_options(args=(1,), delay=delay).message_id
    done = _moved(desk, task_id, "post")
    assert done.verified
    client = desk.broker.client
    assert (client.llen(desk.key(f"mail{kind}")), client.hlen(desk.key(f"mail{kind}.msgs"))) == (
        0,
        0,
    )
    (raw,) = client.hvals(desk.key(f"post{kind}.msgs"))
    moved = Message.decode(raw)
    assert (moved.message_id, moved.queue_name) == (task_id, f"post{kind}")
    assert ("eta" in moved.options) == bool(delay)
    assert "already" in _moved(desk, task_id, "post").effect


def test_message_that_a_worker_holds_is_not_moved(desk: Desk) -> None:
    task_id = desk.actor.send(1).message_id
    next(desk.broker.consume("mail", prefetch=1, timeout=50))
    with pytest.raises(CommandRefused, match="a worker may hold it"):
        _moved(desk, task_id, "post")
    with pytest.raises(CommandRefused, match="declares no queue `nowhere`"):
        _moved(desk, task_id, "nowhere")
    assert desk.broker.client.llen(desk.key("post")) == 0


def _moved(desk: Desk, task_id: str, to: str) -> wire.CommandDone:
    command = wire.CommandBody(
        "0" * 32, desk.agent.family, b"", "shop", "move", desk.engine.source.key, task_id,
        "shop.pay", 60, queue="mail", details=Details(queue=to),
    )  # fmt: skip
    return desk.engine.execute(command, b"")


def test_reconcile_says_where_a_message_is(desk: Desk) -> None:
    waits = desk.actor.send(1).message_id
    delayed = desk.actor.send_with_options(args=(2,), delay=600_000).message_id
    states = [json.loads(desk.order("reconcile", one).found)["state"] for one in (waits, delayed)]
    assert states == ["queued", "scheduled"]
    next(desk.broker.consume("mail", prefetch=1, timeout=50))
    found = json.loads(desk.order("reconcile", waits).found)
    assert (found["state"], "inside that worker" in found["where"]) == ("running", True)
    dead = desk.bury(3)
    assert json.loads(desk.order("reconcile", dead).found)["state"] == "failed"


def test_submit_takes_delay_and_refuses_what_redis_has_not(desk: Desk) -> None:
    done = desk.order("submit", args=arguments(1), delay_s=600)
    assert desk.broker.client.llen(desk.key("mail.DQ")) == 1
    (published,) = desk.events(wire.TaskPublished)
    assert (published.task_id, published.queue, published.retry_of) == (
        done.new_task_id,
        "mail",
        "",
    )
    with pytest.raises(CommandRefused, match="no priorities"):
        desk.order("submit", args=arguments(1), priority=3)
    with pytest.raises(CommandRefused, match=r"no actor `shop\.pai`; it has `shop\.pay`"):
        desk.order("submit", name="shop.pai", args=arguments(1))
    assert desk.broker.client.llen(desk.key("mail")) == 0


def test_verbs_of_a_worker_are_not_for_a_process_that_sends(desk: Desk) -> None:
    for verb in ("pause", "resume", "pool", "drain", "undrain", "restart"):
        with pytest.raises(CommandRefused, match="only sends"):
            desk.order(verb)


@needs_rabbit
def test_rabbitmq_purges_what_waits_and_names_it(tmp_path: Path) -> None:
    name = f"q{uuid.uuid4().hex[:10]}"
    broker = RabbitmqBroker(url=RABBIT, confirm_delivery=True, max_priority=5)
    desk = Desk(broker, tmp_path)
    actor = dramatiq.actor(pay, broker=broker, queue_name=name, actor_name="shop.purged")
    sent = {actor.send(number).message_id for number in range(30)}
    actor.send_with_options(args=(1,), delay=600_000)
    broker.channel.basic_publish("", name, b"not a message")
    done = desk.order("purge", queue=name)
    assert (done.affected, broker.get_queue_message_counts(name)) == (31, (0, 1, 0))
    assert {one.task_id for one in desk.events(wire.TaskCancelled)} == sent
    with pytest.raises(CommandRefused, match="RabbitMQ has no queue"):
        desk.order("purge", queue=f"{name}-nowhere")
    desk.order("submit", name="shop.purged", queue=name, args=arguments(1), priority=5)
    _, properties, _ = broker.channel.basic_get(name, auto_ack=True)
    assert properties.priority == 5
    with pytest.raises(CommandRefused, match="from 0 to 5"):
        desk.order("submit", name="shop.purged", queue=name, args=arguments(1), priority=6)
    for kind in ("", ".DQ", ".XQ"):
        broker.channel.queue_delete(f"{name}{kind}")
    desk.agent.stop(0)
    broker.close()
