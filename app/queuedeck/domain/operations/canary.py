# SPDX-License-Identifier: AGPL-3.0-only
"""Whether the first tasks of an operation went well: after a retry the new tasks themselves, not
only the sending of them.
"""

from sqlalchemy import select

from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.operations.models import OperationTask
from queuedeck.domain.operations.queries import OperationSeen
from queuedeck.domain.operations.rules import Tries
from queuedeck.domain.operations.states import TaskOutcome
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import FINAL_STATES, TaskRow, TaskState

RUNS_AGAIN = ("retry", "requeue")
"""Verbs after which a task has to run before one knows."""
_BAD = (TaskOutcome.FAILED, TaskOutcome.UNKNOWN)
_TRIED = (TaskOutcome.OPEN, TaskOutcome.DONE, *_BAD)
IDS_AT_ONCE = 100


async def tries_of(desk: CommandDesk, operation: OperationSeen) -> Tries:
    """How those that went first have fared so far."""
    async with desk.control.read() as session:
        rows = list(
            await session.scalars(
                select(OperationTask)
                .where(OperationTask.operation_id == operation.id)
                .where(OperationTask.state.in_(_TRIED))
            )
        )
    done = [row for row in rows if row.state == TaskOutcome.DONE]
    bad = sum(row.state in _BAD for row in rows)
    good = len(done)
    if operation.verb in RUNS_AGAIN:
        known = await _runs(desk, operation.project_id, done)
        good = sum(one is TaskState.SUCCEEDED for one in known)
        bad += sum(one in FINAL_STATES and one is not TaskState.SUCCEEDED for one in known)
    return Tries(good, bad, len(rows) - good - bad)


async def _runs(
    desk: CommandDesk, project_id: int, done: list[OperationTask]
) -> list[TaskState | None]:
    """What became of the tasks that run again; None while nothing of it is known."""
    ids = [row.new_task_id or row.task_id for row in done]
    found: dict[tuple[str, str], TaskRow] = {}
    for at in range(0, len(ids), IDS_AT_ONCE):
        asked = TaskFilter(ids=tuple(ids[at : at + IDS_AT_ONCE]))
        page = await desk.history.list_tasks(project_id, asked, 5 * IDS_AT_ONCE)
        for row in reversed(page.tasks):
            found[row.source, row.task_id] = row
    return [
        _state(row, found.get((row.source, task_id)))
        for row, task_id in zip(done, ids, strict=True)
    ]


def _state(asked: OperationTask, run: TaskRow | None) -> TaskState | None:
    if run is None:
        return None
    is_itself = run.task_id == asked.task_id
    if is_itself and run.state in FINAL_STATES and (run.finished_us or 0) < asked.changed_us:
        return None  # Still the end that it had before.
    return run.state
