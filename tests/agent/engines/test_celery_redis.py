# SPDX-License-Identifier: AGPL-3.0-only
"""Taking one waiting message out of a real Redis, while no worker runs."""

import uuid
from typing import Any

import pytest
from celery import Celery
from tests.support.celery_worker import BROKER

from queuedeck_agent.engines.celery import redis as celery_redis


@pytest.fixture
def app() -> Any:
    celery = Celery("removal", broker=BROKER)
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


@pytest.mark.parametrize("retries", [0, 2], ids=["first attempt", "third attempt"])
def test_removal_says_which_attempt_will_not_run(app: Any, queue: str, retries: int) -> None:
    for task_id in ("before", "wanted", "after"):
        app.send_task("shop.add", task_id=task_id, queue=queue, retries=retries)
    assert celery_redis.remove(app, [queue], "wanted") == retries + 1
    assert waiting(app, queue) == 2
    assert celery_redis.remove(app, [queue], "wanted") == 0
