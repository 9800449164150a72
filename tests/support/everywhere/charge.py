# SPDX-License-Identifier: AGPL-3.0-only
"""What the task of each application does: it notes what it was called with, and may fail."""

import hashlib
import json
import os

from redis import Redis

if os.environ.get("EVERYWHERE_ATTACH"):
    import queuedeck_agent

    queuedeck_agent.attach(release="by-hand")

BROKER = os.environ.get("EVERYWHERE_BROKER", "redis://127.0.0.1:6379/0")
QUEUE = os.environ.get("EVERYWHERE_QUEUE", "everywhere")
NAME = "shop.charge"


def charge(order: int, *, password: str) -> int:
    """Charges an order.

    Fails for orders below zero.
    """
    client = Redis.from_url(BROKER)
    digest = hashlib.sha256(password.encode()).hexdigest()
    client.rpush(f"{QUEUE}:told", json.dumps({"order": order, "password": digest}))
    client.close()
    if order < 0:
        raise LookupError(f"order {order} not found")
    return order
