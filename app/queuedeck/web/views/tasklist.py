# SPDX-License-Identifier: AGPL-3.0-only
"""The task list: lines, facets, chips of the filter, and why there is nothing to see."""

import msgspec

from queuedeck.domain.tasks.export import MOST_TASKS
from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import TaskPage
from queuedeck.history.totals import Totals
from queuedeck.web import urls
from queuedeck.web.format import Moment, count, moment_minute, plural
from queuedeck.web.views.facets import Chip, FacetsView, chips, uncounted
from queuedeck.web.views.operation_list import preview_url
from queuedeck.web.views.peek import PeekView
from queuedeck.web.views.queryerror import QueryError
from queuedeck.web.views.savedviews import ViewsMenu
from queuedeck.web.views.strip import StripView, no_strip
from queuedeck.web.views.taskline import TaskLine, task_line
from queuedeck.web.views.words import Empty, Link

PAGE_SIZE = 50
_HINT = "Filter, for example state:failed task:*.send wait:>30s at:2h"


class BulkView(msgspec.Struct, frozen=True):
    """What can be done with many of these tasks at once."""

    preview_url: str
    question: str
    """Empty: all tasks of the project are never offered as one selection."""


class TaskListView(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    typed: str
    kept: str
    hint: str
    suggest_url: str
    error: QueryError | None
    chips: tuple[Chip, ...]
    facets: FacetsView
    strip: StripView | None
    """None when there is nothing to draw."""
    api_url: str
    lines: tuple[TaskLine, ...]
    total: str
    caption: str
    foot: str
    back_to: Moment | None
    """How far a search looked that stopped at its budget."""
    more_url: str
    first_url: str
    is_later: bool
    page_size: int
    views: ViewsMenu | None
    """None in a fragment: it is shared, and views are a person's."""
    save_url: str
    """Keeps this filter under a name; empty where there is none."""
    exports: tuple[Link, ...]
    export_note: str
    peek: PeekView | None
    """The task beside the list, if the address names one."""
    bulk: BulkView | None
    """None for who may not act on many at once."""
    empty: Empty | None


class ListParts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was read for the list."""

    project: str
    text: str
    question: TaskFilter
    page: TaskPage
    error: QueryError | None
    is_later: bool
    totals: Totals
    connected: int
    agents_seen: bool
    can_connect: bool
    can_operate: bool
    now_us: int
    paused: frozenset[tuple[str, str]] = frozenset()
    """(source, queue) of the queues that are paused."""
    views: ViewsMenu | None = None
    peek: PeekView | None = None


def list_view(parts: ListParts) -> TaskListView:
    project, question, error = parts.project, parts.question, parts.error
    canonical = "" if error else to_text(question)
    total = sum(sum(states.values()) for states in parts.totals.states.values())
    has_strip = not error and bool(parts.page.tasks or question.times)
    none = not parts.page.tasks and not error and not parts.page.after
    return TaskListView(
        url=urls.tasks(project),
        typed=parts.text if error else "",
        kept=canonical,
        hint="Add a filter, for example state:failed" if canonical else _HINT,
        suggest_url=urls.suggestions(project, canonical),
        error=error,
        chips=() if error else chips(question, project),
        facets=uncounted(question, project),
        strip=no_strip(question, project) if has_strip else None,
        api_url=urls.tasks_api(project, canonical),
        lines=tuple(
            task_line(row, project, parts.now_us, parts.paused) for row in parts.page.tasks
        ),
        total=_total(total, bool(canonical)),
        caption=f"Tasks that match {canonical}, newest first" if canonical else "Newest tasks",
        foot="" if error else _foot(parts.page),
        back_to=_back_to(parts.page),
        more_url=urls.tasks(project, canonical, parts.page.after) if parts.page.after else "",
        first_url=urls.tasks(project, canonical),
        is_later=parts.is_later,
        page_size=PAGE_SIZE,
        views=parts.views,
        save_url=urls.saved_views(project, canonical) if canonical else "",
        exports=() if error else _exports(project, canonical),
        export_note=f"the newest {count(MOST_TASKS)} matches",
        peek=parts.peek,
        bulk=BulkView(preview_url(project), canonical) if parts.can_operate else None,
        empty=_empty(parts, total) if none else None,
    )


def _exports(project: str, question: str) -> tuple[Link, ...]:
    return tuple(
        Link(kind.upper(), urls.export(project, question, kind)) for kind in ("csv", "json")
    )


def _total(tasks: int, is_filtered: bool) -> str:
    """All of the project: how many match a filter is not counted, so it is not claimed."""
    if not tasks:
        return ""
    return f"out of {plural(tasks, 'task')}" if is_filtered else plural(tasks, "task")


def _foot(page: TaskPage) -> str:
    if not page.complete:
        found = plural(len(page.tasks), "match", "matches") if page.tasks else "Nothing yet"
        return f"{found}; searched back to"
    if page.after:
        return f"The newest {plural(len(page.tasks), 'task')}, in the order they arrived"
    return "That is all" if page.tasks else ""


def _back_to(page: TaskPage) -> Moment | None:
    return None if page.back_to_us is None else moment_minute(page.back_to_us)


def _empty(parts: ListParts, total: int) -> Empty:
    """Says which of four very different reasons it is."""
    project = parts.project
    if parts.question != TaskFilter():
        ways = (Link("Clear the filter", urls.tasks(project)),)
        if parts.question.times:
            rest = to_text(msgspec.structs.replace(parts.question, times=()))
            ways = (Link("All times", urls.tasks(project, rest)), *ways)
        known = plural(total, "task") + " in this project" if total else "No task here yet"
        return Empty("filter", "Nothing matches this filter", f"{known}; none fits.", ways)
    if parts.connected:
        text = "The first task that a worker takes, or a producer sends, appears here by itself."
        return Empty("queued", "Connected, and waiting for the first task", text)
    if parts.agents_seen:
        text = (
            "No agent is connected now. What your workers do meanwhile is kept in their spool "
            "folders and arrives as soon as they reach this server."
        )
        ways = (Link("Agents", urls.agents(project)),)
        return Empty("unplugged", "No agent is connected", text, ways)
    if not parts.can_connect:
        text = "An owner or admin of the project can connect one; its tasks appear by themselves."
        return Empty("unplugged", "No worker is connected yet", text)
    text = "Two commands in the environment of your workers; nothing to open in your network."
    ways = (Link("Connect your first worker", urls.connect(project)),)
    return Empty("unplugged", "No worker is connected yet", text, ways)
