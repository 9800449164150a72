# SPDX-License-Identifier: AGPL-3.0-only
"""The task list and one task."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.commands.queries import CommandSeen, commands_of_task
from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.pauses import pauses_of
from queuedeck.domain.tasks.filters import parse, within
from queuedeck.domain.tasks.reader import FilterInvalid
from queuedeck.domain.trends.windows import Range, window
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import NotFound
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import FINAL_STATES, TaskDetail, TaskPage, TaskState
from queuedeck.history.trends import Counts, TrendFilter
from queuedeck.web import savedviews, urls
from queuedeck.web.audit import entries_of_task
from queuedeck.web.frame import frame, warnings
from queuedeck.web.rendering import html, is_partial, page, render, render_page
from queuedeck.web.views.actions import task_actions
from queuedeck.web.views.commands import command_view
from queuedeck.web.views.facets import counted
from queuedeck.web.views.failures import same_error
from queuedeck.web.views.pauses import paused
from queuedeck.web.views.peek import PeekView, peek_view
from queuedeck.web.views.queryerror import query_error
from queuedeck.web.views.strip import strip_view
from queuedeck.web.views.task import TaskView, task_view
from queuedeck.web.views.tasklist import PAGE_SIZE, ListParts, list_view

_NEW_TASKS = 3
"""So many of the tasks that retries made are looked up for a task's page."""
_KEYS_END = 1 << 63
"""No task has a key beyond what a database holds."""


@get("/p/{project:str}/tasks", guards=[requires(Permission.READ_TASKS)])
async def list_tasks(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    q: FromQuery[str] = "",
    kept: FromQuery[str] = "",
    after: FromQuery[str] = "",
    peek: FromQuery[int | None] = None,
) -> Response[Any]:
    if kept:
        return Redirect(urls.tasks(access.project.slug, f"{kept} {q}".strip()), status_code=303)

    async def answer() -> str:
        parts = await _read_list(services, access, q.strip(), after)
        if not is_partial(request):
            last = request.cookies.get(savedviews.COOKIE, "")
            views = await savedviews.menu(services, identity, access, last)
            parts = msgspec.structs.replace(parts, views=views)
        if peek is not None:
            beside = await beside_list(services, access, peek, q.strip())
            parts = msgspec.structs.replace(parts, peek=beside)
        shell = await frame(
            request, services, identity, access,
            title="Tasks", place="Tasks", topics=("tasks", "agents"), mode="rows",
            totals=parts.totals,
        )  # fmt: skip
        return render_page(request, "tasks/list.html", shell, list_view(parts))

    if not is_partial(request) or peek is not None:
        return html(await answer())
    # Every browser that shows the list asks for it again after each change. A fragment says
    # nothing of who asks but for what these two do.
    asked = ("list", q, after, access.role, warnings(request, services))
    return html(await services.shared.get(access.project.id, asked, answer))


@get("/p/{project:str}/tasks/facets", guards=[requires(Permission.READ_TASKS)])
async def count_facets(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Response[str]:
    async def answer() -> str:
        question = parse(q)
        found = await services.history.facets(access.project.id, question)
        view = counted(question, found, access.project.slug)
        return render("tasks/_facets.html", facets=view)

    return html(await services.shared.get(access.project.id, ("facets", q), answer))


@get("/p/{project:str}/tasks/histogram", guards=[requires(Permission.READ_TASKS)])
async def draw_histogram(
    services: NamedDependency[Services], access: NamedDependency[Access], q: FromQuery[str] = ""
) -> Response[str]:
    async def answer() -> str:
        question = parse(q)
        found = await services.history.histogram(access.project.id, question)
        view = strip_view(question, found, access.project.slug)
        return render("tasks/_strip.html", strip=view)

    return html(await services.shared.get(access.project.id, ("histogram", q), answer))


@get("/p/{project:str}/tasks/range", guards=[requires(Permission.READ_TASKS)])
async def narrow_times(
    access: NamedDependency[Access],
    q: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Redirect:
    """The list within two times. What cannot be read is said by the list, at its place."""
    return Redirect(urls.tasks(access.project.slug, within(q, since, until)), status_code=303)


@get("/p/{project:str}/tasks/peek", guards=[requires(Permission.READ_TASKS)])
async def show_beside(
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    key: FromQuery[int],
    q: FromQuery[str] = "",
) -> Response[str]:
    view = await beside_list(services, access, key, q)
    return html(render("tasks/_peek.html", peek=view, token=identity.csrf))


async def beside_list(services: Services, access: Access, key: int, text: str) -> PeekView | None:
    """A task for the panel beside the list; None when it is not there any more."""
    project_id = access.project.id
    if not 0 < key < _KEYS_END:
        return None
    found = (await services.history.read_selected(project_id, [key])).get(key)
    if found is None:
        return None
    detail = await services.history.find_task(project_id, found.engine, found.task_id, key=key)
    if detail is None:
        return None
    view = await shown(services, access, detail, is_brief=True)
    return peek_view(view, detail, access.project.slug, text)


async def _read_list(services: Services, access: Access, text: str, after: str) -> ListParts:
    project_id, error, question = access.project.id, None, TaskFilter()
    found = TaskPage(tasks=[], after="")
    try:
        question = parse(text)
        found = await services.history.list_tasks(project_id, question, PAGE_SIZE, after)
    except FilterInvalid as invalid:
        error = query_error(invalid, text)
    agents = services.registry.agents(project_id)
    held = await pauses_of(services, project_id)
    return ListParts(
        project=access.project.slug,
        text=text,
        question=question,
        page=found,
        error=error,
        is_later=bool(after),
        totals=await services.history.totals(project_id),
        connected=sum(agent.connected for agent in agents),
        agents_seen=bool(agents),
        can_connect=access.allows(Permission.CONNECT_AGENTS),
        can_operate=access.allows(Permission.RUN_OPERATIONS),
        now_us=services.clock(),
        paused=frozenset((one.source, one.queue) for one in held),
    )


@get("/p/{project:str}/tasks/{engine:str}/{task_id:str}", guards=[requires(Permission.READ_TASKS)])
async def show_task(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    engine: FromPath[str],
    task_id: FromPath[str],
    generation: FromQuery[int | None] = None,
    key: FromQuery[int | None] = None,
) -> Response[Any]:
    task_id = decode_id(task_id)
    detail = await services.history.find_task(
        access.project.id, engine, task_id, generation, key=key
    )
    if detail is None:
        raise NotFound(
            "There is no task with this id in this project. It may never have been reported, or "
            "its day has been deleted by the retention."
        )
    view = await shown(services, access, detail)
    settled = detail.row.state in FINAL_STATES and not any(c.is_open for c in view.commands)
    shell = await frame(
        request, services, identity, access,
        title=f"{view.name.function} {view.word.lower()}", place="Tasks",
        topics=(f"task:{engine}:{task_id}", "agents"), mode="final" if settled else "morph",
    )  # fmt: skip
    return page(request, "tasks/show.html", shell, view)


async def shown(
    services: Services, access: Access, detail: TaskDetail, *, is_brief: bool = False
) -> TaskView:
    """Everything of one task; without the log of who did what and the usual times if brief."""
    slug, project_id, now = access.project.slug, access.project.id, services.clock()
    seen = await commands_of_task(services.control, project_id, detail.row.key)
    states = await _states_of_new(services, access, seen)
    commands = tuple(command_view(command, slug, now, states) for command in seen)
    failure = await services.history.failure_of(project_id, detail.row.key)
    may_read_audit = access.allows(Permission.READ_AUDIT) and not is_brief
    view = task_view(
        detail,
        slug,
        now,
        task_actions(detail, project_id, slug, access.role, services.registry, commands),
        commands,
        await entries_of_task(services, slug, seen) if may_read_audit else (),
        urls.audit(slug) if may_read_audit else "",
        None if is_brief else await _usual(services, project_id, detail.row.name),
        None if failure is None else same_error(slug, failure),
        may_operate=access.allows(Permission.RUN_OPERATIONS),
    )
    held = await pauses_of(services, project_id)
    return msgspec.structs.replace(view, warnings=(*view.warnings, *paused(detail, held, slug)))


async def _states_of_new(
    services: Services, access: Access, commands: list[CommandSeen]
) -> dict[str, TaskState]:
    """Of the tasks that the newest retries made, for whoever may cancel them."""
    if not access.allows(Permission.CANCEL):
        return {}
    new = [(c.engine, c.new_task_id) for c in commands if c.new_task_id][:_NEW_TASKS]
    found: dict[str, TaskState] = {}
    for engine, task_id in new:
        if task := await services.history.find_task(access.project.id, engine, task_id):
            found[task_id] = task.row.state
    return found


async def _usual(services: Services, project_id: int, name: str) -> Counts | None:
    """What tasks of this name took in the last week."""
    if not name:
        return None
    week = window(Range.WEEK, services.clock())
    found = await services.history.trend(
        project_id, week.since_us, week.until_us, week.sum_step_us, TrendFilter(task=name)
    )
    return found.total


ROUTES = [list_tasks, count_facets, draw_histogram, narrow_times, show_beside, show_task]
