# SPDX-License-Identifier: AGPL-3.0-only
import os

from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis

from taskiq_redis import ListQueueBroker  # isort: skip

broker = ListQueueBroker(os.environ["SHOP_BROKER"], queue_name="fastapi-shop")


@broker.task(task_name="shop.ship")
async def ship(order, *, password):
    return f"shipped {order}"
