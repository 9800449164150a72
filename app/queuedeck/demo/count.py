# SPDX-License-Identifier: AGPL-3.0-only
"""Collects the three counts: from the broker what the shop noted (`shop/notes.py`), from the API
what the server stored.
"""

from collections.abc import Iterable
from typing import Any, cast

from redis import Redis

from queuedeck.demo.client import Client
from queuedeck.demo.operator import Operator
from queuedeck.demo.tally import Counts, Tally

KINDS = ("sent", "ran", "ran_again", "succeeded", "failed")


def count(
    client: Client,
    broker_url: str,
    operator: Operator,
    engines: Iterable[str],
    missing: Iterable[str] = (),
) -> Tally:
    """The counts now. The notes are read first: what they hold, the server should have soon."""
    broker = Redis.from_url(broker_url, decode_responses=True)
    noted = {
        engine: [
            frozenset(cast("set[str]", broker.smembers(f"demo:{engine}:{kind}"))) for kind in KINDS
        ]
        for engine in engines
    }
    broker.close()
    totals = client.totals()
    stored: dict[str, list[dict[str, Any]]] = {engine: [] for engine in noted}
    for task in client.tasks():
        stored.setdefault(task["engine"], []).append(task)
    return Tally(
        engines={
            engine: _counts(notes, stored[engine], engine, operator)
            for engine, notes in noted.items()
        },
        missing=tuple(missing),
        commands=operator.outcomes,
        events_received=totals["events"],
        events_lost=totals["lost"],
    )


def _counts(
    notes: list[frozenset[str]], tasks: list[dict[str, Any]], engine: str, operator: Operator
) -> Counts:
    sent, ran, ran_again, succeeded, failed = notes
    cancelled = frozenset(i for name, i in operator.cancelled if name == engine)
    retried = frozenset(i for name, i in operator.retried if name == engine)
    return Counts(
        # The agent sends a retry's original bytes by itself: its command says under which id.
        sent=sent | retried,
        ran=ran,
        ran_again=ran_again,
        succeeded=succeeded,
        # Every attempt that fails is noted, and not all are the last.
        failed=failed - succeeded - cancelled,
        stored={task["task_id"]: task["state"] for task in tasks},
        cancelled=cancelled,
        retried=retried,
        attempted_again=frozenset(task["task_id"] for task in tasks if task["attempt"] > 1),
        retried_as={task["task_id"]: task["retried_as"] for task in tasks if task["retried_as"]},
    )
