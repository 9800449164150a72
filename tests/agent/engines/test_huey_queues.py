# SPDX-License-Identifier: AGPL-3.0-only
"""How deep Huey's queues are, on a real Redis."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huey import PriorityRedisHuey, RedisHuey, SqliteHuey
from tests.support.celery_worker import BROKER
from tests.support.queue_keys import clear, unchanged

from queuedeck_agent.engines.huey import queues
from queuedeck_agent.engines.huey.adapter import HueyEngine
from queuedeck_agent.engines.huey.source import find_source
from queuedeck_agent.engines.huey.stamp import Stamp, stamped


@pytest.fixture
def name() -> Iterator[str]:
    name = f"depth{uuid.uuid4().hex[:10]}"
    yield name
    clear(name)


def engine_of(*instances: Any) -> HueyEngine:
    engine = HueyEngine(find_source(instances[0].storage))
    engine.hueys.update({one.name: one for one in instances})
    return engine


@pytest.fixture(params=[RedisHuey, PriorityRedisHuey], ids=["list", "priorities"])
def huey(request: Any, name: str) -> Iterator[Any]:
    huey = request.param(name, url=BROKER)
    yield huey
    huey.storage.conn.close()


@pytest.fixture
def reader(huey: Any) -> Iterator[Any]:
    engine = engine_of(huey)
    assert queues.refusal(engine) == ""
    reader = queues.open_reader(engine)
    yield reader
    reader.close()


def test_waiting_and_scheduled_tasks_are_counted(huey: Any, name: str, reader: Any) -> None:
    add = huey.task()(lambda: None)
    for _ in range(3):
        add()
    add.schedule(delay=3_600)
    huey.storage.add_to_schedule(b"later", add.s(eta=_in_an_hour()).eta)
    with unchanged(name):
        (found,) = reader.read((name,))
    assert (found.waiting, found.scheduled, found.taken, found.dead) == (4, 1, -1, -1)


def test_age_is_that_of_the_stamp_behind_the_message(name: str) -> None:
    huey = RedisHuey(name, url=BROKER)
    for at in (1_000, 2_000):
        huey.storage.enqueue(stamped(b"any message", Stamp(task_id="t", at_us=at)))
    reader = queues.open_reader(engine_of(huey))
    (found,) = reader.read(())
    reader.close()
    assert (found.name, found.waiting, found.oldest_us) == (name, 2, 1_000)


def test_queue_with_priorities_says_itself_how_old_it_is(name: str) -> None:
    huey = PriorityRedisHuey(name, url=BROKER)
    before = time.time_ns() // 1_000
    huey.storage.enqueue(b"any message")
    reader = queues.open_reader(engine_of(huey))
    (found,) = reader.read(())
    reader.close()
    assert before - 1_000 <= found.oldest_us <= time.time_ns() // 1_000


def test_queue_of_another_process_is_found_by_its_name(name: str) -> None:
    elsewhere, here = RedisHuey(f"{name}-other", url=BROKER), RedisHuey(name, url=BROKER)
    elsewhere.storage.enqueue(b"any message")
    reader = queues.open_reader(engine_of(here))
    found = {one.name: one.waiting for one in reader.read((f"{name}-other",))}
    reader.close()
    assert found == {f"{name}-other": 1, name: 0}


def test_storages_that_are_not_on_redis_are_refused(tmp_path: Path) -> None:
    huey = SqliteHuey("depth", filename=str(tmp_path / "huey.db"))
    assert "SqliteStorage" in queues.refusal(engine_of(huey))


def _in_an_hour() -> Any:
    import datetime

    return datetime.datetime.now(tz=datetime.UTC).replace(tzinfo=None) + datetime.timedelta(hours=1)
