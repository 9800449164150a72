# SPDX-License-Identifier: AGPL-3.0-only
"""What the API answers. Fields are only ever added; times are microseconds since the epoch, UTC."""

from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from queuedeck.history.tasks import Attempt, Progress, TaskDetail, TaskRow, TimelineEntry


class Place(msgspec.Struct, frozen=True):
    """Where in a filter the mistake is."""

    offset: int
    """Of the first character, from 0."""
    length: int
    """0 where something is missing."""


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    code: str
    message: str
    """What is wrong and what to do next."""
    place: Place | None = None
    """With the codes `invalid_filter` and `invalid_rule`."""
    expected: str = ""
    """What would be right in this place."""


class ErrorAnswer(msgspec.Struct, frozen=True):
    """What every refusal looks like."""

    error: ErrorBody


_REASONS = {
    400: "A filter that is not valid, a cookie and a token together, or an unreadable body.",
    401: "No token, or one that is not valid.",
    403: "The role does not allow this.",
    404: "Not there, or not yours.",
    409: "The state, the engine or the policy of the host does not allow this.",
    422: "The question or the input is not valid.",
    503: "The server cannot write now; nothing was changed.",
}


def errors(*more: int) -> dict[int, ResponseSpec]:
    """How OpenAPI describes the refusals of a route: those of all, and these."""
    return {
        status: ResponseSpec(ErrorAnswer, description=_REASONS[status], generate_examples=False)
        for status in (400, 401, 403, 404, *more)
    }


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One task as lists show it."""

    key: str
    """Names this task also where an engine used its id again."""
    engine: str
    source: str
    source_name: str
    task_id: str
    name: str
    queue: str
    worker: str
    state: str
    attempt: int
    priority: int | None
    seen_us: int
    published_us: int | None
    started_us: int | None
    finished_us: int | None
    eta_us: int | None
    wait_us: int | None
    run_us: int | None
    exception: str
    message: str
    args_preview: str
    cancel_requested: bool
    retry_of: str
    retried_as: str
    tags: tuple[str, ...]
    """What the task's own code put on it."""
    progress: Progress | None
    """What the task's own code told last; null when it never did."""
    label: str = ""
    """Its second name, by a rule of the project."""
    mark: str = ""
    """The title of the rule that its result fits, or empty. It succeeded all the same."""


class TaskList(msgspec.Struct, frozen=True):
    tasks: list[TaskSummary]
    next: str | None
    """Pass as `after` for the next, older page; null when this is the last."""
    complete: bool
    """False: the search stopped at its budget and may find more on the next page."""
    back_to_us: int | None = None
    """How far it looked, when it is not complete."""


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One task with everything known about it."""

    task: TaskSummary
    attempts: list[Attempt]
    """Newest first."""
    timeline: list[TimelineEntry]
    """Oldest first."""
    args: Any
    """`{"args": [...], "kwargs": {...}}`, redacted; null when not captured."""
    result: Any
    seal_id: str
    sealed_bytes: int
    parent_id: str
    root_id: str
    group_id: str
    schedule: str
    origin: str
    route: str
    user: str
    exchange: str
    routing_key: str
    expires_us: int | None
    release: str
    generation: int
    """Which of the tasks that the id has named, from 1."""
    generations: int


class TotalsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    events: int
    lost: int
    quarantined: int
    states: dict[str, dict[str, int]]
    newest_us: int | None


def summary_of(row: TaskRow) -> TaskSummary:
    return msgspec.convert({**msgspec.structs.asdict(row), "key": str(row.key)}, TaskSummary)


def answer_of(detail: TaskDetail) -> TaskAnswer:
    fields = {
        name: getattr(detail, name)
        for name in TaskAnswer.__struct_fields__
        if name not in ("task", "args", "result", "generation")
    }
    return TaskAnswer(
        task=summary_of(detail.row),
        args=_value_of(detail.args),
        result=_value_of(detail.result),
        generation=detail.row.generation,
        **fields,
    )


def _value_of(stored: bytes) -> Any:
    if not stored:
        return None
    try:
        return msgspec.json.decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return stored.decode(errors="replace")
