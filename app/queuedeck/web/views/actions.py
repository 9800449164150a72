# SPDX-License-Identifier: AGPL-3.0-only
"""The buttons of a task: which are shown, and why one cannot be pressed."""

import msgspec

from queuedeck.domain.accounts.permissions import Permission, Role, allows
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.commands import rules
from queuedeck.errors import QueuedeckError
from queuedeck.history.records import FINAL_STATES, TaskDetail, TaskState
from queuedeck.web import urls
from queuedeck.web.views.commands import CommandView
from queuedeck.web.views.words import engine_tag

_WORTH_A_RETRY = frozenset({TaskState.FAILED, TaskState.LOST, TaskState.CANCELLED})


class Action(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    key: str
    """The keyboard's letter, and the button's name in the page."""
    icon: str
    url: str
    hint: str
    why_not: str = ""
    """Empty: the button can be pressed."""
    primary: bool = False
    risky: bool = False


def task_actions(
    detail: TaskDetail,
    project_id: int,
    project: str,
    role: Role,
    registry: AgentRegistry,
    commands: tuple[CommandView, ...],
) -> tuple[Action, ...]:
    """Retry once it ended, Cancel until then; the other one says why it does not apply."""
    row = detail.row
    base = urls.task(project, row.engine, row.task_id)
    # What the page shows, also when the engine has used the id again since.
    which = f"?key={row.key}"
    engine = engine_tag(row.engine).title
    ended = row.state in FINAL_STATES
    no_retry = rules.retry_refusal(registry, project_id, detail)
    no_cancel = rules.cancel_refusal(registry, project_id, detail)
    retry = Action(
        label="Retry",
        key="r",
        icon="retrying",
        url=f"{base}/retries{which}",
        hint=f"{engine} gets a new task with the original arguments",
        why_not=_why_not(role, Permission.RETRY, no_retry)
        or _already(commands, "retry", "A retry is under way."),
        primary=row.state in _WORTH_A_RETRY,
    )
    cancel = Action(
        label="Cancel",
        key="c",
        icon="cancelled",
        url=f"{base}/cancellations{which}",
        hint=_cancel_hint(row.state, engine),
        why_not=_why_not(role, Permission.CANCEL, no_cancel)
        or _already(commands, rules.cancel_verb(detail), "A cancellation is under way."),
        risky=not ended,
    )
    return (cancel, retry)


def _why_not(role: Role, permission: Permission, refusal: QueuedeckError | None) -> str:
    if not allows(role, permission):
        return f"Your role here is {role.value}; this needs an operator."
    return refusal.message if refusal else ""


def _cancel_hint(state: TaskState, engine: str) -> str:
    if state is TaskState.RUNNING:
        return f"{engine} is asked to end it now; what it has begun stays half done"
    return f"{engine} is asked not to start it"


def _already(commands: tuple[CommandView, ...], verb: str, text: str) -> str:
    return text if any(c.is_open and c.verb == verb for c in commands) else ""
