# SPDX-License-Identifier: AGPL-3.0-only
"""The list of operations, their words and addresses."""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from queuedeck.domain.operations.queries import OperationSeen, Tally
from queuedeck.domain.operations.states import OperationState
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, moment_ago, plural
from queuedeck.web.views.words import Empty, Link

VERB_WORDS = {
    "retry": "Retry",
    "requeue": "Requeue",
    "cancel": "Cancel",
    "move": "Move",
    "priority": "Change the priority of",
}
STATE_WORDS = {
    OperationState.FREEZING: ("Freezing its set", "running"),
    OperationState.ARMED: ("Armed", "scheduled"),
    OperationState.RUNNING: ("Running", "running"),
    OperationState.PAUSED: ("Paused", "retrying"),
    OperationState.STOPPING: ("Stopping", "retrying"),
    OperationState.FINISHED: ("Finished", "succeeded"),
    OperationState.STOPPED: ("Stopped", "cancelled"),
    OperationState.DISARMED: ("Disarmed", "cancelled"),
}


class OperationLine(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    url: str
    title: str
    question: str
    state: str
    word: str
    done: str
    trouble: str
    when: Moment
    by: str


class OperationsView(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[OperationLine, ...]
    total: str
    empty: Empty | None


def operations_url(project: str) -> str:
    return f"/p/{project}/operations"


def operation_url(project: str, operation_id: str, **query: str) -> str:
    asked = {key: value for key, value in query.items() if value}
    return f"/p/{project}/operations/{operation_id}" + (f"?{urlencode(asked)}" if asked else "")


def preview_url(project: str, **query: str) -> str:
    return f"/p/{project}/operations/preview" + (f"?{urlencode(query)}" if query else "")


def operations_view(
    found: Sequence[tuple[OperationSeen, Tally]], project: str, now_us: int
) -> OperationsView:
    text = (
        "Select tasks in the list, or take all that match a filter, and act on them together: "
        "previewed, at a rate, with ten seconds to think again."
    )
    none = Empty("tasks", "No operation yet", text, (Link("Tasks", urls.tasks(project)),))
    return OperationsView(
        lines=tuple(operation_line(one, tally, project, now_us) for one, tally in found),
        total=plural(len(found), "operation") if found else "",
        empty=None if found else none,
    )


def operation_line(
    operation: OperationSeen, tally: Tally, project: str, now_us: int
) -> OperationLine:
    word, state = STATE_WORDS[operation.state]
    trouble = [
        f"{count(n)} {word}"
        for n, word in ((tally.failed, "not done"), (tally.unknown, "unknown"))
        if n
    ]
    return OperationLine(
        id=operation.id,
        url=operation_url(project, operation.id),
        title=title_of(operation, tally.total - tally.skipped or operation.expected_acts),
        question=operation.question or ("failed ones again" if operation.parent_id else "selected"),
        state=state,
        word=word,
        done=f"{count(tally.done)} of {count(tally.total)}",
        trouble=", ".join(trouble),
        when=moment_ago(operation.created_us, now_us),
        by=operation.requested_by.partition(":")[2],
    )


def rough(seconds: int) -> str:
    """Nobody needs to know it better."""
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{round(minutes / 60)} h"


def title_of(operation: OperationSeen, total: int) -> str:
    words = f"{VERB_WORDS[operation.verb]} {plural(total, 'task')}"
    if operation.verb == "move":
        words += f" to {operation.details.queue}"
    if operation.verb == "priority":
        words += f" to {operation.details.priority}"
    return words
