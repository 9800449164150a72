# SPDX-License-Identifier: AGPL-3.0-only
"""One task as a line of the list."""

import msgspec

from queuedeck.history.tasks import FINAL_STATES, TaskRow, TaskState
from queuedeck.web import urls
from queuedeck.web.format import Moment, Span, duration, growing, moment_ago
from queuedeck.web.views.extras import ProgressView, progress_view
from queuedeck.web.views.words import STATE_WORDS, EngineTag, Name, engine_tag, task_name

WAITING = frozenset({TaskState.QUEUED, TaskState.SCHEDULED, TaskState.RETRYING})


class TaskLine(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    key: str
    """The store's key, padded: sorts as text. Also the row's id in the page."""
    task_id: str
    url: str
    state: str
    word: str
    is_final: bool
    name: Name
    sub: str
    """Second line: arguments, or the error."""
    sub_style: str
    engine: EngineTag
    queue: str
    worker: str
    when: Moment
    wait: Span
    run: Span
    attempt: str
    label: str = ""
    mark: str = ""
    paused: bool = False
    """It waits in a queue that is paused."""
    progress: ProgressView | None = None
    """While it runs."""


def task_line(
    row: TaskRow, project: str, now_us: int, paused: frozenset[tuple[str, str]] = frozenset()
) -> TaskLine:
    """`paused`: (source, queue) of the queues that are."""
    sub, style = _second_line(row)
    return TaskLine(
        key=f"{row.key:019d}",
        task_id=row.task_id,
        url=urls.task(project, row.engine, row.task_id, key=row.key),
        state=row.state.value,
        word=STATE_WORDS[row.state],
        is_final=row.state in FINAL_STATES,
        name=task_name(row.name),
        sub=sub,
        sub_style=style,
        engine=engine_tag(row.engine),
        queue=row.queue,
        worker=row.worker,
        when=moment_ago(row.seen_us, now_us),
        wait=_waited(row, now_us),
        run=ran(row, now_us),
        attempt=str(row.attempt) if row.attempt else "",
        label=row.label,
        mark=row.mark,
        paused=row.state in WAITING and (row.source, row.queue) in paused,
        progress=progress_view(row.progress if row.state is TaskState.RUNNING else None, now_us),
    )


def ran(row: TaskRow, now_us: int) -> Span:
    """How long its newest attempt ran, or runs now."""
    if row.state is TaskState.RUNNING and row.started_us:
        return growing(row.started_us, now_us)
    return Span(duration(row.run_us))


def _second_line(row: TaskRow) -> tuple[str, str]:
    if row.cancel_requested and row.state not in FINAL_STATES:
        return "Cancel requested", "warn"
    error = _error_line(row.exception, row.message)
    if row.state is TaskState.LOST:
        return error or "The worker vanished, the outcome is unknown", "bad"
    if row.state is TaskState.FAILED and error:
        return error, "bad"
    if row.state is TaskState.RETRYING and error:
        return error, "warn"
    return row.args_preview, "mono"


def _error_line(exception: str, message: str) -> str:
    """`GatewayTimeout: timed out`, the exception without its module."""
    short = exception.rpartition(".")[2]
    return f"{short}: {message}" if short and message else short or message


def _waited(row: TaskRow, now_us: int) -> Span:
    """How long it waited, waits now, or will wait until it is due."""
    if row.wait_us is not None:
        return Span(duration(row.wait_us))
    if row.state is TaskState.SCHEDULED and row.eta_us:
        due = moment_ago(row.eta_us, now_us)
        return Span(due.text, due.iso, "ago")
    if row.state is TaskState.QUEUED:
        return growing(row.eta_us or row.published_us or row.seen_us, now_us)
    return Span()
