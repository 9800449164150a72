# SPDX-License-Identifier: AGPL-3.0-only
"""The buttons of a task: which are shown, and why one cannot be pressed."""

import msgspec

from queuedeck.domain.accounts.permissions import Permission, Role, allows
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.commands import rules
from queuedeck.domain.commands.later import EXAMPLES
from queuedeck.errors import QueuedeckError
from queuedeck.history.tasks import FINAL_STATES, TaskDetail, TaskState
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
    opens: str = ""
    """The dialog that asks first."""
    is_link: bool = False
    """A page of its own, with a form."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A dialog before an action: what it does, and what it has to know."""

    id: str
    title: str
    text: str
    url: str
    button: str
    icon: str
    risky: bool = False
    field: str = ""
    """The name of its one field, if it has one."""
    label: str = ""
    hint: str = ""
    value: str = ""
    is_number: bool = False
    choices: tuple[str, ...] = ()


class TaskActions(msgspec.Struct, frozen=True):
    main: tuple[Action, ...]
    more: tuple[Action, ...]
    asks: tuple[Ask, ...]


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """What all buttons of one task look at."""

    detail: TaskDetail
    project_id: int
    project: str
    role: Role
    registry: AgentRegistry
    commands: tuple[CommandView, ...]

    @property
    def base(self) -> str:
        return urls.task(self.project, self.detail.row.engine, self.detail.row.task_id)

    @property
    def engine(self) -> str:
        return engine_tag(self.detail.row.engine).title

    def url(self, noun: str) -> str:
        """For the task that the page shows, also when the engine has used the id again since."""
        return f"{self.base}/{noun}?key={self.detail.row.key}"

    def why_not(self, verb: str, permission: Permission, under_way: str = "") -> str:
        if not allows(self.role, permission):
            return f"Your role here is {self.role.value}; this needs an operator."
        refusal = rules.REFUSALS[verb](self.registry, self.project_id, self.detail)
        return _words(refusal) or _already(self.commands, verb, under_way)

    def said(self, verb: str, otherwise: str) -> str:
        """What the engine's adapter says that the verb does."""
        return self.registry.said(self.project_id, self.detail.row.source, verb) or otherwise


def task_actions(
    detail: TaskDetail,
    project_id: int,
    project: str,
    role: Role,
    registry: AgentRegistry,
    commands: tuple[CommandView, ...],
) -> TaskActions:
    """Retry once it ended, Cancel until then; the other one says why it does not apply."""
    page = _Page(
        detail=detail,
        project_id=project_id,
        project=project,
        role=role,
        registry=registry,
        commands=commands,
    )
    more = (
        _later(page),
        _edit(page),
        _again(page),
        _move(page),
        _priority(page),
        _requeue(page),
        _ask(page),
    )
    asks = _terminate_ask(page) + _later_ask(page) + _move_ask(page) + _priority_ask(page)
    open_to = {one.opens for one in (_cancel(page), *more) if not one.why_not}
    return TaskActions(
        (_cancel(page), _retry(page)), more, tuple(ask for ask in asks if ask.id in open_to)
    )


def _retry(page: _Page) -> Action:
    return Action(
        label="Retry",
        key="r",
        icon="retrying",
        url=page.url("retries"),
        hint=f"{page.engine} gets a new task with the original arguments. "
        + page.said(rules.RETRY, ""),
        why_not=page.why_not(rules.RETRY, Permission.RETRY, "A retry is under way."),
        primary=page.detail.row.state in _WORTH_A_RETRY,
    )


def _later(page: _Page) -> Action:
    return Action(
        label="Retry later",
        key="later",
        icon="scheduled",
        url=page.url("retries"),
        hint=f"The same, but {page.engine} holds it back until a time of your choice",
        why_not=page.why_not(rules.RETRY, Permission.RETRY, "A retry is under way."),
        opens="ask-later",
    )


def _cancel(page: _Page) -> Action:
    state = page.detail.row.state
    running = state is TaskState.RUNNING
    verb = rules.cancel_verb(page.detail)
    waits = f"{page.engine} is asked not to start it"
    runs = f"{page.engine} is asked to end it now; what it has begun stays half done"
    return Action(
        label="Terminate" if running else "Cancel",
        key="c",
        icon="cancelled",
        url=page.url("cancellations"),
        hint=runs if running else page.said(verb, waits),
        why_not=page.why_not(verb, Permission.CANCEL, "A cancellation is under way."),
        risky=state not in FINAL_STATES,
        opens="ask-terminate" if running else "",
    )


def _edit(page: _Page) -> Action:
    return Action(
        label="Edit and retry",
        key="edit",
        icon="retrying",
        url=page.url("edits"),
        hint="A new task with other arguments, queue, priority or delay",
        why_not=page.why_not(rules.EDIT, Permission.SUBMIT, "An edited retry is under way."),
        is_link=True,
    )


def _again(page: _Page) -> Action:
    row = page.detail.row
    refusal = rules.submit_refusal(page.registry, page.project_id, row.source)
    why = "" if row.name else "Nobody reported what this task is called."
    if not allows(page.role, Permission.SUBMIT):
        why = f"Your role here is {page.role.value}; this needs an operator."
    return Action(
        label="Run again with other arguments",
        key="again",
        icon="right",
        url=urls.submissions_like(page.project, row.source, row.name, row.task_id, row.key),
        hint="A task of this name on its own, whatever becomes of this one",
        why_not=why or _words(refusal),
        is_link=True,
    )


def _move(page: _Page) -> Action:
    return Action(
        label="Move to another queue",
        key="move",
        icon="queues",
        url=page.url("moves"),
        hint=page.said(rules.MOVE, "It leaves its queue and waits in the other one"),
        why_not=page.why_not(rules.MOVE, Permission.MOVE, "A move is under way."),
        opens="ask-move",
    )


def _priority(page: _Page) -> Action:
    return Action(
        label="Change the priority",
        key="priority",
        icon="filter",
        url=page.url("priorities"),
        hint=page.said(rules.PRIORITY, "It waits on with another priority"),
        why_not=page.why_not(rules.PRIORITY, Permission.MOVE, "A change is under way."),
        opens="ask-priority",
    )


def _requeue(page: _Page) -> Action:
    return Action(
        label="Requeue",
        key="requeue",
        icon="queued",
        url=page.url("requeues"),
        hint=page.said(rules.REQUEUE, f"{page.engine}'s own copy goes back into its queue"),
        why_not=page.why_not(rules.REQUEUE, Permission.RETRY, "It is being requeued."),
    )


def _ask(page: _Page) -> Action:
    return Action(
        label=f"Ask {page.engine}",
        key="reconcile",
        icon="info",
        url=page.url("reconciliations"),
        hint=f"What {page.engine} itself says of this task now; nothing is changed",
        why_not=page.why_not(rules.RECONCILE, Permission.INSPECT_QUEUES, "It is being asked."),
    )


def _terminate_ask(page: _Page) -> tuple[Ask, ...]:
    said = page.said(rules.TERMINATE, f"{page.engine} is asked to end it now.")
    return (
        Ask(
            id="ask-terminate",
            title="Terminate this task?",
            text=f"It is running. {said} What it has begun stays half done, and cannot be undone.",
            url=page.url("cancellations"),
            button="Terminate it",
            icon="cancelled",
            risky=True,
        ),
    )


def _later_ask(page: _Page) -> tuple[Ask, ...]:
    return (
        Ask(
            id="ask-later",
            title="Retry later",
            text=f"{page.engine} gets a new task with the original arguments, which does not start "
            "before this time. Where its broker cannot hold a task back, nothing is sent, and the "
            "outcome says so.",
            url=page.url("retries"),
            button="Retry it then",
            icon="scheduled",
            field="later",
            label="In which time, or when?",
            hint=f"For example {EXAMPLES}.",
            choices=("5m", "30m", "1h", "6h", "1d"),
        ),
    )


def _move_ask(page: _Page) -> tuple[Ask, ...]:
    row = page.detail.row
    served = page.registry.queues(page.project_id, row.source)
    return (
        Ask(
            id="ask-move",
            title="Move to another queue",
            text=page.said(rules.MOVE, ""),
            url=page.url("moves"),
            button="Move it",
            icon="queues",
            field="queue",
            label=f"To which queue? It is in {row.queue or 'an unknown one'}.",
            hint="A queue that no worker consumes keeps it waiting.",
            choices=tuple(queue for queue in served if queue != row.queue),
        ),
    )


def _priority_ask(page: _Page) -> tuple[Ask, ...]:
    given = page.detail.row.priority
    present = "none given" if given is None else str(given)
    return (
        Ask(
            id="ask-priority",
            title="Change the priority",
            text=page.said(rules.PRIORITY, ""),
            url=page.url("priorities"),
            button="Change it",
            icon="filter",
            field="priority",
            label="New priority",
            hint=f"In {page.engine}'s own scale. Now: {present}.",
            is_number=True,
        ),
    )


def _words(refusal: QueuedeckError | None) -> str:
    return refusal.message if refusal else ""


def _already(commands: tuple[CommandView, ...], verb: str, text: str) -> str:
    return text if any(c.is_open and c.verb == verb for c in commands) else ""
