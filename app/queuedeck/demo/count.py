# SPDX-License-Identifier: AGPL-3.0-only
"""Collects the three counts: from the broker what publishers and tasks noted, from the API what
the server stored.
"""

from typing import cast

from redis import Redis

from queuedeck.demo import shop
from queuedeck.demo.client import Client
from queuedeck.demo.operator import Operator
from queuedeck.demo.tally import Tally


def count(client: Client, broker_url: str, operator: Operator) -> Tally:
    """The counts now. The notes are read first: what they hold, the server should have soon."""
    broker = Redis.from_url(broker_url, decode_responses=True)
    sent, ran, succeeded, failed = (
        frozenset(cast("set[str]", broker.smembers(key)))
        for key in (shop.SENT, shop.RAN, shop.SUCCEEDED, shop.FAILED)
    )
    broker.close()
    totals = client.totals()
    return Tally(
        # The agent publishes a retry's original bytes by itself: its command says under which id.
        sent=sent | operator.retried,
        ran=ran,
        succeeded=succeeded,
        failed=failed,
        stored={task["task_id"]: task["state"] for task in client.tasks()},
        cancelled=frozenset(operator.cancelled),
        retried=operator.retried,
        commands=operator.outcomes,
        events_received=totals["events"],
        events_lost=totals["lost"],
    )
