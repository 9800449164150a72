# SPDX-License-Identifier: AGPL-3.0-only
"""The loop drops what is over, and events come in while it does."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

from tests.support.history_events import (
    LANE,
    NOW_US,
    batch,
    published,
    source_seen,
    succeeded,
    uuid_of,
)

from queuedeck.clock import DAY_US
from queuedeck.db.engine import ControlDb
from queuedeck.history.filters import TaskFilter
from queuedeck.history.sql import upkeep
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.loops.retention import retain
from queuedeck.settings import Settings


async def test_old_days_go_while_events_come_in(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "DROP_ROWS", 5)
    clock = [NOW_US]
    history = SqliteHistory(tmp_path / "history.db", lambda: clock[0])
    await history.open()
    old = [
        event
        for n in range(50)
        for event in (published(uuid_of(f"old {n}")), succeeded(uuid_of(f"old {n}")))
    ]
    await history.record([batch([source_seen(), *old])])
    clock[0] += 10 * DAY_US
    settings = Settings(data=Path(tmp_path), retention_days=7)
    control = ControlDb(settings.control)
    await control.open()
    services = SimpleNamespace(settings=settings, history=history, control=control)
    round_ = asyncio.create_task(retain(services))
    stored = 101
    while not round_.done():
        event = published(uuid_of(f"new {stored}"), 10 * DAY_US)
        async with asyncio.timeout(20):
            recorded = await history.record([batch([event], stored + 1)])
        stored = recorded.committed[LANE]
        await asyncio.sleep(0)
    await round_
    page = await history.list_tasks(1, TaskFilter(), 500)
    assert [row.key >> 40 for row in page.tasks] == [clock[0] // DAY_US] * (stored - 101)
    assert stored > 111
    assert (await history.totals(1)).states == {"celery": {"queued": stored - 101}}
    assert [one.tasks for one in await history.usage(1)] == [stored - 101]
    await history.close()
    await control.close()
