# SPDX-License-Identifier: AGPL-3.0-only
"""taskiq."""

import asyncio

from tests.support import taskiq_pins  # noqa: F401 - before taskiq_redis
from tests.support.everywhere import charge as shop

from taskiq_redis import ListQueueBroker  # isort: skip

broker = ListQueueBroker(shop.BROKER, queue_name=shop.QUEUE)
charge = broker.register_task(shop.charge, task_name=shop.NAME)


def send(order, password):
    async def kick():
        await broker.startup()
        await charge.kiq(order, password=password)
        await broker.shutdown()

    asyncio.run(kick())
