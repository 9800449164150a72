# SPDX-License-Identifier: AGPL-3.0-only
"""One task: head, attempts, timeline, values, lineage, and what operators did to it."""

import msgspec

from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import FINAL_STATES, Attempt, TaskDetail, TaskRow, TaskState
from queuedeck.history.trends import Counts
from queuedeck.web import urls
from queuedeck.web.format import Moment, Span, count, duration, moment_ago, moment_clock, size
from queuedeck.web.jsontree import Node, read_args, read_value
from queuedeck.web.tracebacks import Trace, read_traceback
from queuedeck.web.views.actions import Action, Ask, TaskActions
from queuedeck.web.views.audit import EntryView
from queuedeck.web.views.commands import CommandView
from queuedeck.web.views.extras import (
    LogView,
    ProgressView,
    TagLink,
    TraceLink,
    log_view,
    progress_view,
    tag_links,
    trace_link,
)
from queuedeck.web.views.failures import SameError
from queuedeck.web.views.machine import Machine, machine
from queuedeck.web.views.operation_list import preview_url
from queuedeck.web.views.taskline import ran
from queuedeck.web.views.timeline import TimelineLine, timeline
from queuedeck.web.views.words import STATE_WORDS, EngineTag, Name, engine_tag, task_name


class Ended(msgspec.Struct, frozen=True):
    before: str
    moment: Moment


class Remark(msgspec.Struct, frozen=True):
    text: str
    url: str = ""
    label: str = ""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    state: str
    word: str
    worker: str
    started: Moment | None
    run: Span
    exception: str
    message: str
    traceback: Trace | None
    facts: tuple[str, ...]
    notes: tuple[str, ...]
    log: LogView | None
    trace: TraceLink | None
    open: bool


class Values(msgspec.Struct, frozen=True):
    nodes: tuple[Node, ...]
    note: str
    absent: str


class Fact(msgspec.Struct, frozen=True):
    label: str
    text: str
    mono: bool = False
    url: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str
    name: Name
    label: str
    label_url: str
    mark: str
    """The title of the rule that its result fits."""
    state: str
    word: str
    state_title: str
    engine: EngineTag
    queue: str
    queue_url: str
    worker: str
    worker_url: str
    release: str
    tags: tuple[TagLink, ...]
    progress: ProgressView | None
    ended: Ended
    actions: tuple[Action, ...]
    more: tuple[Action, ...]
    asks: tuple[Ask, ...]
    warnings: tuple[Remark, ...]
    machine: Machine
    same_error: SameError | None
    attempts: tuple[AttemptView, ...]
    attempts_note: str
    timeline: tuple[TimelineLine, ...]
    arguments: Values
    result: Values
    lineage: tuple[Fact, ...]
    details: tuple[Fact, ...]
    commands: tuple[CommandView, ...]
    audit: tuple[EntryView, ...]
    audit_url: str


def task_view(
    detail: TaskDetail,
    project: str,
    now_us: int,
    actions: TaskActions,
    commands: tuple[CommandView, ...],
    audit: tuple[EntryView, ...],
    audit_url: str,
    usual: Counts | None = None,
    error: SameError | None = None,
    *,
    may_operate: bool = False,
) -> TaskView:
    row = detail.row
    return TaskView(
        task_id=row.task_id,
        name=task_name(row.name),
        label=row.label,
        label_url=_of_label(row, project),
        mark=row.mark,
        state=row.state.value,
        word=STATE_WORDS[row.state],
        state_title=f"Reported by {engine_tag(row.engine).title} on {row.source_name}",
        engine=engine_tag(row.engine),
        queue=row.queue,
        queue_url=urls.tasks(project, to_text(TaskFilter(queues=(row.queue,)))),
        worker=row.worker,
        worker_url=urls.tasks(project, to_text(TaskFilter(workers=(row.worker,)))),
        release=detail.release,
        tags=tag_links(row.tags, project),
        progress=progress_view(row.progress, now_us, len(detail.attempts)),
        ended=_ended(row, now_us),
        actions=actions.main,
        more=actions.more,
        asks=actions.asks,
        warnings=_warnings(detail, project),
        machine=machine(detail, usual),
        same_error=error,
        attempts=tuple(
            _attempt(attempt, row, project, now_us, index == 0)
            for index, attempt in enumerate(detail.attempts)
        ),
        attempts_note=f"{count(len(detail.attempts))} so far" if detail.attempts else "",
        timeline=timeline(detail.timeline),
        arguments=_arguments(detail),
        result=_result(detail),
        lineage=(*_lineage(detail, project), *_workflow(detail, project, may_operate=may_operate)),
        details=_details(detail),
        commands=commands,
        audit=audit,
        audit_url=audit_url,
    )


def _of_label(row: TaskRow, project: str) -> str:
    names = (row.name,) if row.name else ()
    return urls.tasks(project, to_text(TaskFilter(names=names, labels=(row.label,))))


def _ended(row: TaskRow, now_us: int) -> Ended:
    if row.state in FINAL_STATES:
        return Ended(row.state.value, moment_ago(row.finished_us or row.seen_us, now_us))
    if row.started_us and row.state is TaskState.RUNNING:
        return Ended("started", moment_ago(row.started_us, now_us))
    return Ended("first seen", moment_ago(row.seen_us, now_us))


def _warnings(detail: TaskDetail, project: str) -> tuple[Remark, ...]:
    row, found = detail.row, list[Remark]()
    if detail.generations > row.generation:
        newest = urls.task(project, row.engine, row.task_id)
        text = "The engine used this id again: you are looking at an older task."
        found.append(Remark(text, newest, "Open the newest"))
    elif row.generation > 1:
        older = urls.task(project, row.engine, row.task_id, row.generation - 1)
        found.append(Remark("This id has named a task before.", older, "Open the one before"))
    if row.cancel_requested and row.state not in FINAL_STATES:
        found.append(Remark("Somebody asked to cancel this task. It has not ended yet."))
    if row.state is TaskState.LOST:
        text = "The process that ran it vanished. Whether its work was done is unknown."
        found.append(Remark(f"{text} {row.message}".strip()))
    return tuple(found)


def _attempt(
    attempt: Attempt, row: TaskRow, project: str, now_us: int, newest: bool
) -> AttemptView:
    short = attempt.exception.rpartition(".")[2]
    facts: list[str] = []
    if attempt.next_us and attempt.finished_us:
        facts.append(f"backoff {duration(max(0, attempt.next_us - attempt.finished_us))}")
    notes: list[str] = []
    if attempt.times_started > 1:
        notes.append(f"The broker delivered this attempt {attempt.times_started} times.")
    if attempt.conflicting:
        notes.append("Two different outcomes were reported; the state rules chose this one.")
    running = newest and row.state is TaskState.RUNNING
    return AttemptView(
        number=attempt.number,
        state=attempt.state.value,
        word="Retried" if attempt.state is TaskState.RETRYING else STATE_WORDS[attempt.state],
        worker=attempt.worker,
        started=moment_clock(attempt.started_us) if attempt.started_us else None,
        run=ran(row, now_us) if running else Span(duration(attempt.run_us)),
        exception=short,
        message=attempt.message,
        traceback=read_traceback(attempt.traceback, short, attempt.message),
        facts=tuple(facts),
        notes=tuple(notes),
        log=log_view(attempt),
        trace=trace_link(attempt, project),
        open=newest and bool(attempt.exception or notes or attempt.lines),
    )


def _arguments(detail: TaskDetail) -> Values:
    if detail.seal_id:
        note = f"the original is kept sealed, {size(detail.sealed_bytes)}"
    else:
        note = "the original call was not kept"
    if not detail.args:
        return Values((), note, "Not captured: neither the sender nor the worker had them.")
    nodes = read_args(detail.args)
    return Values(tuple(nodes), note, "Called without arguments.")


def _result(detail: TaskDetail) -> Values:
    absent = "Not captured."
    if detail.row.state not in FINAL_STATES:
        absent = "Not ended yet."
    elif detail.row.state is not TaskState.SUCCEEDED:
        absent = "It did not succeed, so there is none."
    return Values(tuple(read_value(detail.result)), "", absent)


def _lineage(detail: TaskDetail, project: str) -> tuple[Fact, ...]:
    row = detail.row
    linked = (
        ("Retry of", row.retry_of),
        ("Retried as", row.retried_as),
        ("Called by", detail.parent_id),
        ("Began with", detail.root_id if detail.root_id not in ("", row.task_id) else ""),
    )
    facts = [
        Fact(label, task_id, True, urls.task(project, row.engine, task_id))
        for label, task_id in linked
        if task_id
    ]
    if detail.group_id:
        facts.append(Fact("Group", detail.group_id, True))
    if detail.schedule:
        facts.append(Fact("Schedule", detail.schedule, True))
    return tuple(facts)


def _workflow(detail: TaskDetail, project: str, *, may_operate: bool) -> tuple[Fact, ...]:
    """All tasks that began with the same one, and what can be done to those that it concerns."""
    root = detail.root_id
    if not root or (root == detail.row.task_id and not detail.group_id):
        return ()
    facts = [Fact("Workflow", "its tasks", False, urls.tasks(project, _of_root(root)))]
    if may_operate:
        failed = preview_url(project, verb="retry", q=_of_root(root, TaskState.FAILED))
        waiting = preview_url(project, verb="cancel", q=_of_root(root, *_UNENDED))
        facts += [
            Fact("", "retry what failed", False, failed),
            Fact("", "cancel what has not ended", False, waiting),
        ]
    return tuple(facts)


_UNENDED = tuple(state for state in TaskState if state not in FINAL_STATES)


def _of_root(root: str, *states: TaskState) -> str:
    return to_text(TaskFilter(roots=(root,), states=states))


def _details(detail: TaskDetail) -> tuple[Fact, ...]:
    row = detail.row
    found = (
        Fact("Source", row.source_name or row.source, True),
        Fact("Priority", "none given" if row.priority is None else str(row.priority)),
        Fact("Due", moment_clock(row.eta_us).title if row.eta_us else ""),
        Fact("Expires", moment_clock(detail.expires_us).title if detail.expires_us else "never"),
        Fact("Sent by", detail.origin or "a process without an agent", bool(detail.origin)),
        Fact("Request", detail.route, True),
        Fact("User", detail.user, True),
        Fact("Exchange", detail.exchange, True),
        Fact("Routing key", detail.routing_key, True),
        Fact("Sealed with", f"key {detail.seal_id}" if detail.seal_id else ""),
    )
    return tuple(fact for fact in found if fact.text)
