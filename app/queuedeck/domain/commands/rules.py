# SPDX-License-Identifier: AGPL-3.0-only
"""When something may be done with a task, and the sentence that says why not. Pages ask the same
functions before they show a button.
"""

from collections.abc import Callable

from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.errors import Conflict, NotSupported, QueuedeckError
from queuedeck.history.tasks import FINAL_STATES, TaskDetail, TaskState

RETRY = "retry"
CANCEL = "cancel"
TERMINATE = "terminate"
EDIT = "edit"
MOVE = "move"
PRIORITY = "priority"
REQUEUE = "requeue"
RECONCILE = "reconcile"
SUBMIT = "submit"
WITH_A_CHOICE = (RETRY, EDIT, MOVE, PRIORITY)
"""Verbs that two people may mean differently: the second is told, not given the first one's."""
WAITING = frozenset({TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RETRYING})
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
            "nothing with the agent attached published or ran it. Edit and retry asks you for "
            "them; Requeue takes the engine's own copy, where it still has one."
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


def edit_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the task cannot be sent again with other arguments; None when it can."""
    state = task.row.state
    if state not in FINAL_STATES:
        return Conflict(
            f"The task is {state.value}: it has not ended. Wait until it has, or cancel it first."
        )
    if not task.row.name:
        return NotSupported("Nobody reported what this task is called, so it cannot be sent again.")
    able, reason = registry.can(project_id, task.row.source, EDIT)
    return None if able else NotSupported(reason)


def keeps_original(registry: AgentRegistry, project_id: int, task: TaskDetail) -> bool:
    """Whether an edit can leave hidden places as they were: somebody can open the sealed call."""
    if not task.seal_id or not task.args:
        return False
    return registry.can(project_id, task.row.source, EDIT, task.seal_id)[0]


def move_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the task cannot be moved to another queue; None when it can."""
    return _waiting_refusal(registry, project_id, task, MOVE, "be moved")


def priority_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the task cannot be given another priority; None when it can."""
    return _waiting_refusal(registry, project_id, task, PRIORITY, "change its priority")


def requeue_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the engine's own copy of a task cannot be put back; None when that can be asked for."""
    state = task.row.state
    if state not in FINAL_STATES:
        return Conflict(f"The task is {state.value}: it has not ended, so nothing was given up.")
    if state is TaskState.SUCCEEDED:
        return Conflict("The task succeeded; engines keep for requeueing only what was given up.")
    able, reason = registry.can(project_id, task.row.source, REQUEUE)
    return None if able else NotSupported(reason)


def reconcile_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail
) -> QueuedeckError | None:
    """Why the engine cannot be asked about the task; None when it can."""
    able, reason = registry.can(project_id, task.row.source, RECONCILE)
    return None if able else NotSupported(reason)


def submit_refusal(registry: AgentRegistry, project_id: int, source: str) -> QueuedeckError | None:
    """Why no task can be run on that source; None when one can."""
    able, reason = registry.can(project_id, source, SUBMIT)
    return None if able else NotSupported(reason)


def under_way(noun: str, by: str) -> QueuedeckError:
    """Somebody asked for another of the same a moment ago."""
    return Conflict(
        f"{by} asked for {noun} of the same task a moment ago, and it is still on its way. Wait "
        "until it has ended, then look again."
    )


def _waiting_refusal(
    registry: AgentRegistry, project_id: int, task: TaskDetail, verb: str, what: str
) -> QueuedeckError | None:
    state = task.row.state
    if state in FINAL_STATES:
        return Conflict(f"The task has ended already ({state.value}); it waits in no queue.")
    if state not in WAITING:
        return Conflict(f"The task is {state.value}: only one that waits can {what}.")
    able, reason = registry.can(project_id, task.row.source, verb)
    return None if able else NotSupported(reason)


REFUSALS: dict[str, Callable[[AgentRegistry, int, TaskDetail], QueuedeckError | None]] = {
    RETRY: retry_refusal,
    EDIT: edit_refusal,
    CANCEL: cancel_refusal,
    TERMINATE: cancel_refusal,
    MOVE: move_refusal,
    PRIORITY: priority_refusal,
    REQUEUE: requeue_refusal,
    RECONCILE: reconcile_refusal,
}
"""Of one task."""
