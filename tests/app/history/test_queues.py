# SPDX-License-Identifier: AGPL-3.0-only
"""What came into each queue and left it, and how deep they were."""

import pytest
from tests.support.history_events import (
    NOW_US,
    SOURCE,
    batch,
    published,
    source_seen,
    started,
    succeeded,
)

from queuedeck.clock import DAY_US, MINUTE_US
from queuedeck.history.queues import QueueHour
from queuedeck.history.sql.depths import HOUR_US, KEPT_DAYS

HOUR = NOW_US // HOUR_US


@pytest.fixture
async def filled(history):
    events = [source_seen()]
    for number in range(3):
        events.append(published(f"t{number}"))
    events += [started("t0", at=2_000_000, queue="mail"), succeeded("t0", at=3_000_000)]
    events.append(published("p", queue="pay"))
    await history.record([batch(events)])
    return history


async def test_counts_are_those_of_each_queue(filled):
    found = await filled.queue_counts(1, NOW_US - MINUTE_US, NOW_US + MINUTE_US)
    counts = {one.queue: (one.source, one.arrived, one.ended, one.wait.n) for one in found}
    assert counts == {"mail": (SOURCE, 3, 1, 1), "pay": (SOURCE, 1, 0, 0)}
    assert await filled.queue_counts(2, NOW_US - MINUTE_US, NOW_US + MINUTE_US) == []
    assert await filled.queue_counts(1, NOW_US - DAY_US, NOW_US - HOUR_US) == []


async def test_names_and_sources_are_those_of_the_project(filled):
    assert await filled.queue_names(1, NOW_US - DAY_US) == [(SOURCE, "mail"), (SOURCE, "pay")]
    assert await filled.queue_names(1, NOW_US + DAY_US) == []
    assert await filled.queue_names(2, 0) == []
    (source,) = await filled.sources(1)
    assert (source.source, source.engine, source.name) == (SOURCE, "celery", "redis://celery")


async def test_hours_are_replaced_and_read_again(history):
    one = QueueHour(1, SOURCE, "mail", HOUR, [3, None] * 30)
    await history.save_queue_hours([one])
    grown = QueueHour(1, SOURCE, "mail", HOUR, [3, 4] * 30)
    other = QueueHour(1, SOURCE, "a,b", HOUR - 1, [None] * 59 + [1])
    await history.save_queue_hours([grown, other])
    assert await history.load_queue_hours(NOW_US - 2 * HOUR_US) == [other, grown]
    assert await history.load_queue_hours(NOW_US) == [grown]


async def test_hours_go_after_a_month(history):
    old = QueueHour(1, SOURCE, "mail", HOUR - KEPT_DAYS * 24 - 1, [3] * 60)
    kept = QueueHour(1, SOURCE, "mail", HOUR - KEPT_DAYS * 24, [3] * 60)
    await history.save_queue_hours([old, kept])
    await history.save_queue_hours([kept])
    assert await history.load_queue_hours(0) == [kept]
