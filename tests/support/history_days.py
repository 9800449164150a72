# SPDX-License-Identifier: AGPL-3.0-only
"""A history that is taken from day to day."""

from tests.support.history_events import LANE, NOW_US, batch, uuid_of

from queuedeck.clock import DAY_US

T = uuid_of("task")
TODAY = NOW_US // DAY_US


class DayByDay:
    """A store, a clock that can be moved, and a lane that goes on."""

    def __init__(self, kind):
        self.at = 0
        self.store = kind.history(lambda: NOW_US + self.at)
        self._next = 1

    async def record(self, *events):
        recorded = await self.store.record([batch(events, self._next)])
        self._next = recorded.committed[LANE] + 1

    async def find(self, task_id=T, generation=None):
        return await self.store.find_task(1, "celery", task_id, generation)

    async def day(self, task_id=T):
        return ((await self.find(task_id)).row.key >> 40) - TODAY

    async def ids(self, question, limit=2):
        found, after = [], ""
        while True:
            page = await self.store.list_tasks(1, question, limit, after)
            found += [row.task_id for row in page.tasks]
            after = page.after
            if not after:
                return found

    async def carry_over(self):
        while await self.store.tidy(1_000):
            pass
