# SPDX-License-Identifier: AGPL-3.0-only
"""Dramatiq."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from tests.support.everywhere import charge as shop

dramatiq.set_broker(RedisBroker(url=shop.BROKER, namespace=shop.QUEUE))
make = dramatiq.actor(actor_name=shop.NAME, queue_name=shop.QUEUE, max_retries=0)
charge = make(shop.charge)


def send(order, password):
    charge.send(order, password=password)
