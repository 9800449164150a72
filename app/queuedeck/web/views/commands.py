# SPDX-License-Identifier: AGPL-3.0-only
"""Commands in words: asked, sent, done, or what went wrong. `requested` is never called `done`."""

import msgspec

from queuedeck.domain.commands.queries import CommandSeen
from queuedeck.web import urls
from queuedeck.web.format import Moment, ago, moment_ago

_NOUNS = {"retry": "Retry", "cancel": "Cancellation", "terminate": "Termination"}


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


def command_view(command: CommandSeen, project: str, now_us: int) -> CommandView:
    noun = _NOUNS.get(command.verb, command.verb.capitalize())
    state, text = _outcome(command, noun)
    new_url = urls.task(project, command.engine, command.new_task_id)
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
    )


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
        case "done":
            return command.effect
        case "unknown":
            return command.message or "The agent went away while it acted. Nothing is repeated."
        case _:
            return command.message
