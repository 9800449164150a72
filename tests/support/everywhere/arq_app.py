# SPDX-License-Identifier: AGPL-3.0-only
"""arq."""

import asyncio

import arq
from arq.connections import RedisSettings
from arq.worker import func
from tests.support.everywhere import charge as shop

SETTINGS = RedisSettings.from_dsn(shop.BROKER)


async def charge(ctx, order: int, *, password: str):
    """Charges an order."""
    return shop.charge(order, password=password)


class Worker:
    functions = (func(charge, name=shop.NAME, max_tries=1),)
    redis_settings = SETTINGS
    queue_name = shop.QUEUE


def send(order, password):
    async def enqueue():
        pool = await arq.create_pool(SETTINGS, default_queue_name=shop.QUEUE)
        await pool.enqueue_job(shop.NAME, order, password=password)
        await pool.aclose(close_connection_pool=True)

    asyncio.run(enqueue())
