# SPDX-License-Identifier: AGPL-3.0-only
"""When a task may be retried or cancelled, and the sentence that says why not. Pages ask the same
functions before they show a button.
"""

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.errors import Conflict, NotSupported, QueuedeckError
from queuedeck.history.records import FINAL_STATES, TaskDetail, TaskState

RETRY = "retry"
CANCEL = "cancel"
TERMINATE = "terminate"
EDIT = "edit"
WITH_SEALED_CALL = (RETRY, EDIT)
"""Verbs that act on the original call."""


def retry_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the task cannot be retried now; None when it can."""
    state = task.row.state
    if state not in FINAL_STATES:
        return Conflict(
            f"The task is {state.value}: it has not ended. Wait until it has, or cancel it first."
        )
    if not task.seal_id:
        return NotSupported(
            "The original arguments of this task were not captured: it was larger than 16 KiB, or "
            "nothing with the agent attached published or ran it. Submit it again from your code."
        )
    able, reason = registry.can(project_id, task.row.source, RETRY, task.seal_id)
    return None if able else NotSupported(reason)


def cancel_verb(task: TaskDetail) -> str:
    """A waiting task is cancelled, a running one has to be terminated."""
    return TERMINATE if task.row.state is TaskState.RUNNING else CANCEL


def cancel_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the task cannot be cancelled now; None when it can."""
    state = task.row.state
    if state in FINAL_STATES:
        return Conflict(f"The task has ended already ({state.value}); there is nothing to cancel.")
    verb = cancel_verb(task)
    able, reason = registry.can(project_id, task.row.source, verb)
    if able:
        return None
    if verb == TERMINATE:
        reason = f"The task is running, so it would have to be terminated. {reason}"
    return NotSupported(reason)
