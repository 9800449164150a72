# SPDX-License-Identifier: AGPL-3.0-only
"""A taskiq broker that keeps its messages in a list on Redis.

It is a stand-in for the broker of the same name in taskiq-redis, whose only version that accepts
arq's redis-py cannot be imported beside taskiq 0.13. The list, the names and the promises are the
same: messages that a worker has taken are lost when it is killed. It is taskiq's public interface,
and no more than the shop needs.
"""

from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import TimeoutError as NothingYet
from taskiq import AsyncBroker, BrokerMessage

WAIT_S = 2
"""How long one question to Redis waits for a message."""


class ListQueueBroker(AsyncBroker):
    """Sent messages go to the left end, workers take from the right."""

    def __init__(self, url: str, queue_name: str) -> None:
        super().__init__()
        self.queue_name = queue_name
        self.connection_pool: BlockingConnectionPool = BlockingConnectionPool.from_url(url)

    async def kick(self, message: BrokerMessage) -> None:
        async with self._connected() as redis:
            await redis.lpush(self.queue_name, message.message)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        async with self._connected() as redis:
            while True:
                try:
                    found = await redis.brpop([self.queue_name], timeout=WAIT_S)
                except NothingYet:
                    continue
                if found is not None:
                    yield found[1]

    def _connected(self) -> Any:
        """To redis-py's types its methods are half synchronous."""
        return Redis(connection_pool=self.connection_pool)

    async def shutdown(self) -> None:
        await super().shutdown()
        await self.connection_pool.disconnect()
