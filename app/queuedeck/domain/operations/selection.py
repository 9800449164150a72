# SPDX-License-Identifier: AGPL-3.0-only
"""Which tasks an operation is about: a question, tasks named one by one, or what failed in another
operation. Read portion by portion, the same way for a preview and for the freezing.
"""

import msgspec
from sqlalchemy import select

from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.models import Operation, OperationTask
from queuedeck.domain.operations.states import TaskOutcome
from queuedeck.domain.tasks.filters import parse
from queuedeck.errors import Invalid
from queuedeck.history.tasks import SelectedTask
from queuedeck_agent import wire

PORTION = 2_000
MAX_PRIORITY = 1_000_000


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks for: a verb, and exactly one way to name tasks."""

    verb: str
    details: wire.CommandDetails = wire.CommandDetails()
    question: str = ""
    keys: tuple[int, ...] = ()
    parent_id: str = ""


class Portion(msgspec.Struct, frozen=True):
    tasks: list[SelectedTask]
    missing: int
    """Named one by one, and no longer kept."""
    cursor: str
    """Goes on from here; empty: this was the last."""


def checked(
    verb: str, question: str, keys: list[int], parent_id: str, queue: str, priority: int | None
) -> Ask:
    """The ask, if it is one. Raises `Invalid`: nothing is guessed, and nothing widened."""
    if verb not in rules.VERBS:
        raise Invalid(f"There is no operation {verb!r}. Use one of {', '.join(rules.VERBS)}.")
    question, queue = question.strip(), queue.strip()
    if sum((bool(question), bool(keys), bool(parent_id))) != 1:
        raise Invalid(
            "Name the tasks in one way: by a filter, by their keys, or by an operation whose "
            "failed tasks they are. An empty filter would be all tasks, so it is not taken."
        )
    if len(keys) > rules.MAX_KEYS:
        raise Invalid(f"At most {rules.MAX_KEYS} tasks can be named one by one. Use a filter.")
    parse(question)
    if verb == "move" and not queue:
        raise Invalid("Say which queue the tasks are to be moved to.")
    if verb == "priority" and (priority is None or not 0 <= priority <= MAX_PRIORITY):
        raise Invalid("Say which priority the tasks are to have, in the engine's own scale.")
    details = wire.CommandDetails(
        queue=queue if verb == "move" else "",
        priority=priority if verb == "priority" and priority is not None else -1,
    )
    unique = tuple(dict.fromkeys(keys))
    return Ask(verb=verb, details=details, question=question, keys=unique, parent_id=parent_id)


async def read_portion(
    desk: CommandDesk, project_id: int, ask: Ask, cursor: str, newest: int | None
) -> Portion:
    """The next tasks that are asked for. `newest`: none of a question that came after it."""
    if ask.question:
        found = await desk.history.select_tasks(
            project_id, parse(ask.question), PORTION, cursor, newest
        )
        return Portion(found.tasks, 0, found.after)
    keys, after = await _keys(desk, project_id, ask, cursor)
    tasks = await desk.history.read_selected(project_id, keys)
    return Portion([tasks[key] for key in keys if key in tasks], len(keys) - len(tasks), after)


async def _keys(desk: CommandDesk, project_id: int, ask: Ask, cursor: str) -> tuple[list[int], str]:
    if ask.keys:
        at = int(cursor or 0)
        rest = at + PORTION
        return list(ask.keys[at:rest]), str(rest) if rest < len(ask.keys) else ""
    statement = (
        select(OperationTask.task_key)
        .join(Operation, Operation.id == OperationTask.operation_id)
        .where(Operation.project_id == project_id)
        .where(OperationTask.operation_id == ask.parent_id)
        .where(OperationTask.state == TaskOutcome.FAILED, OperationTask.task_key > int(cursor or 0))
        .order_by(OperationTask.task_key)
        .limit(PORTION)
    )
    async with desk.control.read() as session:
        keys = list(await session.scalars(statement))
    return keys, str(keys[-1]) if len(keys) == PORTION else ""
