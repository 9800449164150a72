# SPDX-License-Identifier: AGPL-3.0-only
"""The waiting messages of a real Redis, looked at, removed and moved while no worker runs."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from tests.support.celery_worker import BROKER

from queuedeck_agent.engines.celery import redis as celery_redis
from queuedeck_agent.engines.celery.redis import Lists, lists_of


@pytest.fixture(params=["", "shop:"], ids=["plain", "with a prefix"])
def app(request: pytest.FixtureRequest) -> Any:
    celery = Celery("removal", broker=BROKER)
    celery.conf.broker_transport_options = {"global_keyprefix": request.param}
    yield celery
    celery.close()


@pytest.fixture
def queue(app: Any) -> Any:
    name = f"removal-{uuid.uuid4().hex}"
    yield name
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(name)


def waiting(app: Any, queue: str) -> int:
    with app.connection_for_write() as connection:
        return connection.default_channel._size(queue)


@pytest.fixture
def lists(app: Any) -> Iterator[Lists]:
    with lists_of(app) as found:
        assert found is not None
        yield found


@pytest.mark.parametrize("retries", [0, 2], ids=["first attempt", "third attempt"])
def test_removal_says_which_attempt_will_not_run(
    app: Any, queue: str, lists: Lists, retries: int
) -> None:
    for task_id in ("before", "wanted", "after"):
        app.send_task("shop.add", task_id=task_id, queue=queue, retries=retries)
    place = lists.find([queue], "wanted")
    assert place is not None
    assert place.waiting.attempt == retries + 1
    assert lists.remove(place)
    assert waiting(app, queue) == 2
    assert lists.find([queue], "wanted") is None
    assert not lists.remove(place)


def test_message_that_was_taken_meanwhile_is_not_sent_again(
    app: Any, queue: str, lists: Lists
) -> None:
    app.send_task("shop.add", task_id="wanted", queue=queue)
    place = lists.find([queue], "wanted")
    assert place is not None
    lists.remove(place)  # as a worker does
    assert not lists.replace(place, lists.key(queue, 9), lambda properties: None)
    assert waiting(app, queue) == 0


def test_replaced_message_is_what_it_was_but_for_the_change(
    app: Any, queue: str, lists: Lists
) -> None:
    app.send_task("shop.add", (1, "é"), task_id="wanted", queue=queue, headers={"tenant": "a"})
    place = lists.find([queue], "wanted")
    assert place is not None
    assert lists.replace(place, lists.key(queue, 6), lambda found: found.update(priority=6))
    moved = lists.find([queue], "wanted")
    assert moved is not None
    assert moved.key == lists.key(queue, 6) != place.key
    assert moved.waiting.headers == place.waiting.headers
    assert moved.waiting.headers["tenant"] == "a"
    assert moved.waiting.properties == {**place.waiting.properties, "priority": 6}
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(queue).get(timeout=2)
    assert message.payload[0] == [1, "é"]


def test_purge_takes_every_list_and_tells_each_message_once(
    app: Any, queue: str, lists: Lists
) -> None:
    sent = [
        str(app.send_task("shop.add", queue=queue, priority=number % 10)) for number in range(1_200)
    ]
    gone: list[bytes] = []
    assert lists.purge(queue, gone.extend) == 1_200
    assert sorted(celery_redis.read(one).task_id for one in gone) == sorted(sent)
    assert waiting(app, queue) == 0
    assert lists.exists(queue), "the queue is still declared"
    assert lists.purge(queue, gone.extend) == 0


def test_purge_beyond_the_limit_counts_without_reading(
    app: Any, queue: str, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_redis, "MAX_PURGED_BY_NAME", 7)
    for _ in range(20):
        app.send_task("shop.add", queue=queue)
    gone: list[bytes] = []
    assert lists.purge(queue, gone.extend) == 20
    assert len(gone) == 7
    assert waiting(app, queue) == 0


def test_first_messages_are_those_that_workers_take_next(
    app: Any, queue: str, lists: Lists
) -> None:
    for number in range(3):
        app.send_task("shop.add", task_id=f"later-{number}", queue=queue, priority=9)
    app.send_task("shop.add", task_id="urgent", queue=queue, priority=0)
    first = [celery_redis.read(one).task_id for one in lists.first(queue, 3)]
    with app.connection_for_read() as connection:
        source = connection.SimpleQueue(queue)
        taken = [source.get(timeout=2).headers["id"] for _ in range(3)]
    assert first == taken == ["urgent", "later-0", "later-1"]


def test_message_of_somebody_else_is_no_task() -> None:
    assert celery_redis.read(b"not a message").task_id == ""
    assert celery_redis.read(b"[1, 2]").task_id == ""
    assert celery_redis.read(b'{"headers": {}, "properties": {"correlation_id": "x"}}').name == ""
