# SPDX-License-Identifier: AGPL-3.0-only
"""One operation: its progress, its buttons and what came of its tasks."""

from collections.abc import Sequence

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.operations.queries import Group, OperationSeen, Tally, TaskSeen
from queuedeck.domain.operations.states import OperationState, TaskOutcome
from queuedeck.web import urls
from queuedeck.web.format import count, duration, iso, plural
from queuedeck.web.views.operation_list import (
    OperationLine,
    operation_line,
    operation_url,
    preview_url,
    rough,
)
from queuedeck.web.views.words import EngineTag, Name, engine_tag, task_name

OUTCOMES_SHOWN = 50
_WIDTH = 1000

_OUTCOME_WORDS = {
    TaskOutcome.WAITING: ("Waiting", "queued"),
    TaskOutcome.OPEN: ("On its way", "running"),
    TaskOutcome.DONE: ("Done", "succeeded"),
    TaskOutcome.FAILED: ("Not done", "failed"),
    TaskOutcome.UNKNOWN: ("Unknown", "lost"),
    TaskOutcome.SKIPPED: ("Skipped", "cancelled"),
    TaskOutcome.STOPPED: ("Stopped", "cancelled"),
}


_BAR = (
    TaskOutcome.DONE,
    TaskOutcome.FAILED,
    TaskOutcome.UNKNOWN,
    TaskOutcome.SKIPPED,
    TaskOutcome.STOPPED,
    TaskOutcome.OPEN,
)


class Button(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    url: str
    icon: str
    primary: bool = False
    risky: bool = False
    is_link: bool = False
    hint: str = ""


class Slice(msgspec.Struct, frozen=True):
    """A piece of the bar."""

    state: str
    x: int
    width: int
    title: str


class OutcomeTab(msgspec.Struct, frozen=True):
    label: str
    state: str
    count: str
    url: str
    current: bool


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    engine: EngineTag
    queue: str
    was: str
    state: str
    word: str
    message: str
    count: str


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    name: Name
    task_id: str
    engine: EngineTag
    queue: str
    state: str
    word: str
    message: str
    new_id: str
    new_url: str
    is_canary: bool


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    line: OperationLine
    reason: str
    note: str
    is_warning: bool
    facts: tuple[tuple[str, str], ...]
    armed_until: str
    """When the armed time ends, ISO; empty when it is not armed."""
    armed_left: str
    progress: str
    bar: tuple[Slice, ...]
    bar_width: int
    tabs: tuple[OutcomeTab, ...]
    buttons: tuple[Button, ...]
    groups: tuple[GroupRow, ...]
    groups_note: str
    outcomes: tuple[OutcomeRow, ...]
    more_url: str
    first_url: str
    csv_url: str
    json_url: str
    filter_url: str


def operation_view(
    operation: OperationSeen,
    tally: Tally,
    groups: Sequence[Group] | None,
    tasks: Sequence[TaskSeen],
    project: str,
    now_us: int,
    *,
    outcome: str,
    after: int,
    may_act: bool,
) -> OperationView:
    """`groups`: None while it moves and is too large to be counted again and again."""
    shown = tasks[:OUTCOMES_SHOWN]
    more = str(shown[-1].task_key) if len(tasks) > OUTCOMES_SHOWN else ""
    left = max(0, (operation.armed_us or 0) - now_us)
    is_armed = operation.state is OperationState.ARMED
    return OperationView(
        line=operation_line(operation, tally, project, now_us),
        reason=operation.reason,
        note=_note(operation, tally),
        is_warning=operation.state is OperationState.PAUSED,
        facts=_facts(operation),
        armed_until=iso(operation.armed_us) if is_armed and operation.armed_us else "",
        armed_left=f"{-(-left // SECOND_US)} s" if is_armed else "",
        progress=_progress(operation, tally),
        bar=_bar(tally),
        bar_width=_WIDTH,
        tabs=_tabs(operation.id, tally, project, outcome),
        buttons=_buttons(operation, tally, project) if may_act else (),
        groups=tuple(_group_row(group) for group in groups or ()),
        groups_note="" if groups is not None else "Counted again when it stands still.",
        outcomes=tuple(_outcome_row(task, project) for task in shown),
        more_url=operation_url(project, operation.id, outcome=outcome, after=more) if more else "",
        first_url=operation_url(project, operation.id, outcome=outcome) if after else "",
        csv_url=f"{operation_url(project, operation.id)}/export.csv",
        json_url=f"{operation_url(project, operation.id)}/export.json",
        filter_url=urls.tasks(project, operation.question) if operation.question else "",
    )


def _note(operation: OperationSeen, tally: Tally) -> str:
    if operation.note:
        return operation.note
    if operation.state is OperationState.RUNNING and not tally.open and tally.waiting:
        if operation.canary_state == "trying" and tally.done:
            return "The first ones are sent. It goes on when they themselves have gone well."
        return "What is left waits for its rate, or for agents that are not connected now."
    return ""


def _facts(operation: OperationSeen) -> tuple[tuple[str, str], ...]:
    rate = f"{operation.rate} a second"
    if operation.slowed_rate < operation.rate and not operation.is_over:
        rate += f", slowed down to {operation.slowed_rate} by a host's own limit"
    facts = [("Asked by", operation.requested_by.partition(":")[2]), ("Rate", rate)]
    if operation.canary:
        words = {"trying": "being tried", "passed": "passed", "failed": "failed"}
        told = words.get(operation.canary_state, "") if operation.started_us else ""
        text = plural(operation.canary, "task") + (f", {told}" if told else "")
        facts.append(("Go first", text))
    if operation.changed_by:
        facts.append(("Last button", operation.changed_by.partition(":")[2]))
    if operation.started_us and operation.finished_us:
        facts.append(("Took", duration(operation.finished_us - operation.started_us)))
    facts.append(("Audit entry", str(operation.audit_seq)))
    return tuple(facts)


def _progress(operation: OperationSeen, tally: Tally) -> str:
    if operation.state is OperationState.FREEZING:
        return f"{plural(tally.total, 'task')} frozen so far"
    text = f"{count(tally.settled)} of {plural(tally.total, 'task')} settled"
    left = tally.waiting + tally.open
    if operation.state is OperationState.RUNNING and left:
        seconds = max(1, left // max(1, operation.slowed_rate))
        text += f", about {rough(seconds)} left at this rate"
    return text


def _bar(tally: Tally) -> tuple[Slice, ...]:
    total, x, found = tally.total, 0, []
    for outcome in _BAR if total else ():
        word, state = _OUTCOME_WORDS[outcome]
        number = getattr(tally, outcome.value)
        width = max(2, round(number * _WIDTH / total)) if number else 0
        if width:
            found.append(Slice(state, x, width, f"{word}: {count(number)}"))
            x += width
    return tuple(found)


def _tabs(operation_id: str, tally: Tally, project: str, outcome: str) -> tuple[OutcomeTab, ...]:
    everything = OutcomeTab(
        "All", "", count(tally.total), operation_url(project, operation_id), not outcome
    )
    return everything, *(
        OutcomeTab(
            word, state, count(getattr(tally, one.value)),
            operation_url(project, operation_id, outcome=one.value), one.value == outcome,
        )
        for one, (word, state) in _OUTCOME_WORDS.items()
        if getattr(tally, one.value) or one.value == outcome
    )  # fmt: skip


def _buttons(operation: OperationSeen, tally: Tally, project: str) -> tuple[Button, ...]:
    def post(action: str, label: str, icon: str, *, go: bool = False, risk: bool = False) -> Button:
        url = f"{operation_url(project, operation.id)}/{action}"
        return Button(label=label, url=url, icon=icon, primary=go, risky=risk)

    state = operation.state
    if state in (OperationState.FREEZING, OperationState.ARMED):
        return (post("disarm", "Disarm", "close", risk=True),)
    if state is OperationState.RUNNING:
        return post("pause", "Pause", "pause"), post("stop", "Stop", "close", risk=True)
    if state is OperationState.PAUSED:
        label = "Go on anyway" if operation.canary_state == "failed" else "Resume"
        return (
            post("resume", label, "running", go=True),
            post("stop", "Stop", "close", risk=True),
        )
    if operation.is_over and tally.failed:
        label = f"Retry the {count(tally.failed)} not done"
        url = preview_url(project, verb=operation.verb, of=operation.id)
        hint = "A new operation of them, with a preview. Unknown ones are not part of it."
        return (Button(label=label, url=url, icon="retrying", is_link=True, hint=hint),)
    return ()


def _group_row(group: Group) -> GroupRow:
    word, state = _OUTCOME_WORDS[TaskOutcome(group.state)]
    if group.code == "unverified":
        word = "Asked for"
    return GroupRow(
        engine=engine_tag(group.engine),
        queue=group.queue or "no queue told",
        was=group.was,
        state=state,
        word=word,
        message=group.message if group.code else "",
        count=count(group.count),
    )


def _outcome_row(task: TaskSeen, project: str) -> OutcomeRow:
    word, state = _OUTCOME_WORDS[TaskOutcome(task.state)]
    if task.code == "unverified":
        word = "Asked for"
    return OutcomeRow(
        url=urls.task(project, task.engine, task.task_id, key=task.task_key),
        name=task_name(task.task_name),
        task_id=task.task_id,
        engine=engine_tag(task.engine),
        queue=task.queue,
        state=state,
        word=word,
        message=task.message,
        new_id=task.new_task_id,
        new_url=urls.task(project, task.engine, task.new_task_id) if task.new_task_id else "",
        is_canary=task.is_canary,
    )
