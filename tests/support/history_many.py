# SPDX-License-Identifier: AGPL-3.0-only
"""Histories of few and of many tasks, for tests of what a question costs, and questions to which
both answer the same.
"""

import msgspec
from tests.support.history_events import (
    batch,
    failed,
    published,
    source_seen,
    started,
    succeeded,
    uuid_of,
)

from queuedeck.history.fingerprint import fingerprint

S = 1_000_000
FEW, MANY = 1_500, 9_000
GROUP = f"{fingerprint('ValueError', 'no', '').number:016x}"
"""Of all that fail here."""

LISTS = [
    "",
    "state:failed",
    "task:app.task_3",
    "-task:app.task_3",
    "rare",
    "every",
    "SO-5",
    "args:SO-1234",
    "every state:failed",
    "at:20m..18m",
    f"id:{uuid_of('7')}",
    "task:app.task_1 -state:failed wait:<1s",
    f"group:{GROUP}",
    f"state:failed group:{GROUP}",
    f"-group:{GROUP}",
]
"""Filters of which a page costs the same however many tasks there are."""


def events_of(number):
    """Every task is 1 s older than the one before; some words are in every tenth, one in the
    newest only. Some are retries of older ones.
    """
    at, task_id = -(number + 60) * S, uuid_of(str(number))
    words = ["every"] if number % 10 == 0 else []
    words += ["rare"] if number == 5 else []
    args = msgspec.json.encode({"args": [f"SO-{number}", *words], "kwargs": {}})
    retried = uuid_of(str(number + 9)) if number % 15 == 3 else ""
    yield published(task_id, at, name=f"app.task_{number % 7}", args=args, retry_of=retried)
    yield started(task_id, at + 1)
    end = failed if number % 20 == 0 else succeeded
    yield end(task_id, at + 2)


async def fill(store, tasks, first=1):
    """So many tasks, the newest last, with the index of their words."""
    events = [event for number in range(tasks - 1, -1, -1) for event in events_of(number)]
    await store.record([batch([source_seen(), *events], first)])
    for _ in range(tasks):
        if not await store.index_words():
            break
