# SPDX-License-Identifier: AGPL-3.0-only
"""Reads back what a run has stored, task by task, and compares it with what was acknowledged."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import msgspec
from benchmarks.database import history_of
from benchmarks.load import ENDED, PUBLISHED, STARTED, Shape, blocks, order, task_ids
from benchmarks.sender import Report
from benchmarks.server import Server

from queuedeck.history.filters import TaskFilter
from queuedeck.history.store import History
from queuedeck.history.tasks import TaskRow

PAGE = 2_000
MOST_TIMELINES = 20_000
"""Read one by one: first those of events that were on their way when a connection was cut."""
SOME_OTHERS = 2_000

Seen = dict[str, list[bool]]
"""Task id -> which of its three events the store has."""


class Stored(msgspec.Struct, frozen=True):
    tasks: int
    events: int
    """Three at most for each task, by what the store knows of it."""
    lost: int
    """Acknowledged events that it does not know."""
    duplicated: int
    """Rows beyond one for a task, and lines beyond one for an event in the timelines read."""
    timelines: int


async def read_back(server: Server, lanes: Sequence[tuple[Shape, Report]]) -> Stored:
    """Open what a server that has stopped has written."""
    history = history_of(server.settings)
    await history.open()
    try:
        return await _compare(history, server.access.project_id, lanes)
    finally:
        await history.close()


async def _compare(
    history: History, project_id: int, lanes: Sequence[tuple[Shape, Report]]
) -> Stored:
    seen, rows = await _rows(history, project_id)
    acked: list[tuple[str, int]] = []
    unsure: dict[str, None] = {}
    for shape, report in lanes:
        events = _events(shape, report)
        acked += events[: report.acked - 1]
        for first, last in report.unsure:
            unsure.update((task_id, None) for task_id, _ in events[max(0, first - 2) : last - 1])
    lost = sum(not seen.get(task_id, [False] * 3)[stage] for task_id, stage in acked)
    others = islice(seen, 0, None, max(1, len(seen) // SOME_OTHERS))
    chosen = list(dict.fromkeys([*others, *unsure]))[:MOST_TIMELINES]
    doubled = await _doubled(history, project_id, chosen)
    return Stored(
        len(seen), sum(map(sum, seen.values())), lost, rows - len(seen) + doubled, len(chosen)
    )


async def _rows(history: History, project_id: int) -> tuple[Seen, int]:
    """What the rows say, and how many rows there are."""
    seen, rows, after = Seen(), 0, ""
    while True:
        page = await history.list_tasks(project_id, TaskFilter(), PAGE, after)
        rows += len(page.tasks)
        for row in page.tasks:
            seen[row.task_id] = _stages(row)
        after = page.after
        if not after:
            return seen, rows


def _stages(row: TaskRow) -> list[bool]:
    stages = [False] * 3
    stages[PUBLISHED] = row.published_us is not None
    stages[STARTED] = row.started_us is not None
    stages[ENDED] = row.finished_us is not None
    return stages


def _events(shape: Shape, report: Report) -> list[tuple[str, int]]:
    """(task id, stage) of each event of a lane that was sent, from record 2 on."""
    made, known = task_ids(shape.seed), dict[int, str]()
    events: list[tuple[str, int]] = []
    for stage, number in islice(order(shape.block, blocks(report.blocks)), report.sent - 1):
        if stage == PUBLISHED:
            known[number] = next(made)
        events.append((known[number], stage))
    return events


async def _doubled(history: History, project_id: int, ids: Sequence[str]) -> int:
    doubled = 0
    for task_id in ids:
        detail = await history.find_task(project_id, "celery", task_id)
        if detail is not None:
            lines = Counter((line.kind, line.attempt) for line in detail.timeline)
            doubled += sum(lines.values()) - len(lines)
    return doubled
