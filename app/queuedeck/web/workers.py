# SPDX-License-Identifier: AGPL-3.0-only
"""The workers of a project, and what can be asked of one of them."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.workers.commands import request_control
from queuedeck.domain.workers.overview import workers_of
from queuedeck.entrance.guards import requires
from queuedeck.entrance.identity import Identity
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import NotFound
from queuedeck.web import urls
from queuedeck.web.answers import done
from queuedeck.web.frame import frame
from queuedeck.web.rendering import page
from queuedeck.web.views.worker_groups import GroupBy
from queuedeck.web.views.workers import NOUNS, workers_view

_VERBS = {noun: verb for verb, noun in NOUNS.items()}
_TEXTS = {
    "pool": "Change of the pool of {name} requested.",
    "rate": "Rate limit on {name} requested.",
    "drain": "{name} is asked to stop taking tasks.",
    "undrain": "{name} is asked to take tasks again.",
    "restart": "Restart of {name} requested.",
}


class ControlForm(msgspec.Struct, frozen=True):
    amount: str = ""
    task_name: str = ""
    rate: str = ""


@get("/p/{project:str}/workers", guards=[requires(Permission.READ_AGENTS)])
async def list_workers(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    access: NamedDependency[Access],
    by: FromQuery[GroupBy] = GroupBy.NOTHING,
) -> Response[Any]:
    s = services
    workers = await workers_of(s.control, s.history, s.registry, access.project.id)
    view = workers_view(workers, access, s.clock(), by)
    asked = [c for worker in workers for c in worker.commands if c.is_open]
    topics = ("agents", "tasks", *(f"command:{command.id}" for command in asked))
    shell = await frame(
        request, services, identity, access, title="Workers", place="Workers", topics=topics
    )
    return page(request, "workers/list.html", shell, view)


@post(
    "/p/{project:str}/workers/{agent:str}/{source:str}/{noun:str}",
    guards=[requires(Permission.CONTROL_WORKERS)],
)
async def control_worker(
    request: AnyRequest,
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    access: NamedDependency[Access],
    agent: FromPath[str],
    source: FromPath[str],
    noun: FromPath[str],
    data: URLEncodedBody[ControlForm],
) -> Response[Any]:
    verb = _VERBS.get(noun)
    if verb is None:
        raise NotFound
    command = await request_control(
        services, access.project, agent, source, verb, actor,
        amount=_number(data.amount), task_name=data.task_name, rate=data.rate,
    )  # fmt: skip
    text = _TEXTS[verb].format(name=command.details.worker) + " Its answer appears on this page."
    return done(request, urls.workers(access.project.slug), text, "queued")


def _number(text: str) -> int:
    """0 for what is none: the use-case says what is wanted."""
    text = text.strip().removeprefix("+")
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 7 else 0


ROUTES = [list_workers, control_worker]
