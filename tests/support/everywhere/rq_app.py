# SPDX-License-Identifier: AGPL-3.0-only
"""RQ."""

from redis import Redis
from rq import Queue
from tests.support.everywhere import charge as shop


def send(order, password):
    queue = Queue(shop.QUEUE, connection=Redis.from_url(shop.BROKER))
    queue.enqueue("tests.support.everywhere.charge.charge", order, password=password)
