# SPDX-License-Identifier: AGPL-3.0-only
"""Commands in words: asked, sent, done, or what went wrong. `requested` is never called `done`."""

from collections.abc import Mapping
from typing import cast

import msgspec

from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.history.tasks import TaskState
from queuedeck.web import urls
from queuedeck.web.format import Moment, ago, moment_ago
from queuedeck.web.views.words import engine_tag

_NOUNS = {
    "retry": "Retry",
    "edit": "Edited retry",
    "cancel": "Cancellation",
    "terminate": "Termination",
    "move": "Move",
    "priority": "Change of priority",
    "requeue": "Requeue",
    "reconcile": "Question",
    "submit": "Submission",
    "purge": "Purge",
    "pause": "Pause",
    "resume": "Resumption",
    "peek": "Look at the first messages",
    "dead": "Look at the dead letters",
    "pool": "Change of the pool",
    "rate": "Change of the rate limit",
    "drain": "Drain",
    "undrain": "End of the drain",
    "restart": "Restart",
}
_ENGINE_SAYS = {
    "queued": "it waits",
    "scheduled": "it is due later",
    "running": "it is running",
    "succeeded": "it succeeded",
    "failed": "it failed",
    "cancelled": "it was cancelled",
    "gone": "it knows nothing of this task any more",
}
WAITING = frozenset({TaskState.SCHEDULED, TaskState.QUEUED})


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    verb: str
    is_open: bool
    state: str
    """A task state's icon and colour that say the same."""
    text: str
    when: Moment
    who: str
    note: str
    new_task: str
    new_url: str
    undo_url: str = ""
    """Cancels the new task, while that still waits."""


class SubmittedView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task that was run by its name."""

    task: str
    engine: str
    command: CommandView
    again_url: str
    again_label: str
    tasks_url: str


def command_view(
    command: CommandSeen,
    project: str,
    now_us: int,
    states: Mapping[str, TaskState] | None = None,
) -> CommandView:
    """`states`: of the new tasks that may be cancelled here."""
    noun = _NOUNS.get(command.verb, command.verb.capitalize())
    state, text = _outcome(command, noun)
    new_url = urls.task(project, command.engine, command.new_task_id)
    waits = (states or {}).get(command.new_task_id) in WAITING
    return CommandView(
        id=command.id,
        verb=command.verb,
        is_open=command.is_open,
        state=state,
        text=text,
        when=moment_ago(command.finished_us or command.created_us, now_us),
        who=f"asked by {person(command.requested_by)}",
        note=_note(command, now_us),
        new_task=command.new_task_id[:8],
        new_url=new_url if command.new_task_id else "",
        undo_url=f"{new_url}/cancellations" if waits else "",
    )


def submitted_view(
    command: CommandSeen, project: str, now_us: int, may_submit: bool
) -> SubmittedView:
    failed = command.state in ("failed", "expired")
    return SubmittedView(
        task=command.task_name,
        engine=engine_tag(command.engine).title,
        command=command_view(command, project, now_us),
        again_url=urls.submission_again(project, command.id) if may_submit else "",
        again_label="Change it and try again" if failed else "Run it again with other arguments",
        tasks_url=urls.tasks(project),
    )


def engine_says(found: bytes, engine: str) -> str:
    """What an engine answered when it was asked about a task, as a sentence."""
    try:
        said = cast("object", msgspec.json.decode(found))
    except msgspec.DecodeError:
        return ""
    if not isinstance(said, dict):
        return ""
    answer = cast("dict[str, object]", said)
    state, where = str(answer.get("state", "")), str(answer.get("where", ""))
    text = f"{engine_tag(engine).title} says: {_ENGINE_SAYS.get(state, state or 'nothing')}."
    return f"{text} {where[:1].upper()}{where[1:].rstrip('.')}." if where else text


def person(label: str) -> str:
    """`user:ann@example.com` to the name alone; machines keep their kind."""
    kind, _, name = label.partition(":")
    return name if kind == "user" and name else label


def _outcome(command: CommandSeen, noun: str) -> tuple[str, str]:
    match command.state:
        case "pending":
            return "queued", f"{noun} requested, waiting for an agent"
        case "sent":
            return "running", f"{noun} sent to an agent"
        case "done" if command.verb == "reconcile":
            return "succeeded", "Question answered"
        case "done" if command.verified:
            return "succeeded", f"{noun} done"
        case "done":
            return "queued", f"{noun} passed on, the effect is not seen yet"
        case "expired":
            return "cancelled", f"{noun} expired, nothing was done"
        case "unknown":
            return "lost", f"{noun}: outcome unknown"
        case _:
            return "failed", f"{noun} failed"


def _note(command: CommandSeen, now_us: int) -> str:
    match command.state:
        case "pending":
            return f"given up {ago(command.deadline_us, now_us)}"
        case "done" if command.found and command.verb == "reconcile":
            return engine_says(command.found, command.engine) or command.effect
        case "done":
            return command.effect
        case "unknown":
            return command.message or "The agent went away while it acted. Nothing is repeated."
        case _:
            return command.message
