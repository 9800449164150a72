# SPDX-License-Identifier: AGPL-3.0-only
"""The stream of topics: one per browser, shared by its tabs. It carries names, never data."""

import json
from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.accounts.sessions import find_session
from queuedeck.domain.projects.access import require
from queuedeck.entrance.guards import signed_in
from queuedeck.entrance.identity import Identity, session_token
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.live import Subscription

INTERVAL_S = 0.5
"""At most two messages a second and browser."""
PING_S = 4.0
"""An idle stream says so, and looks whether its session still holds."""
MAX_TASK_TOPICS = 100
"""Beyond this a message says `task:*`: whoever shows a task asks again."""
CHECK_US = 4 * SECOND_US
"""How often the session behind an open stream is checked."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get("/live", guards=[signed_in()])
async def live(
    request: AnyRequest,
    services: NamedDependency[Services],
    identity: NamedDependency[Identity],
    project: FromQuery[str],
) -> Response[Any]:
    access = await require(services.control, identity.actor, project, Permission.READ_TASKS)
    token = session_token(request, services.settings)
    subscription = services.live.subscribe(access.project.id)
    body = _events(services, subscription, token)
    return Stream(body, media_type="text/event-stream", headers=_HEADERS)


async def _events(
    services: Services, subscription: Subscription, token: str
) -> AsyncIterator[bytes]:
    """Ends when the server stops, the browser leaves, or the session is over."""
    checked_us = services.clock()
    yield b"retry: 2000\n\n: connected\n\n"
    try:
        async for topics in subscription.batches(INTERVAL_S, PING_S):
            if services.clock() - checked_us >= CHECK_US:
                checked_us = services.clock()
                if await find_session(services.control, token, services.clock) is None:
                    return
            yield message(topics)
    finally:
        subscription.close()


def message(topics: frozenset[str]) -> bytes:
    """One event of the stream; a comment line when nothing happened."""
    if not topics:
        return b": ping\n\n"
    tasks = [topic for topic in topics if topic.startswith("task:")]
    if len(tasks) > MAX_TASK_TOPICS:
        topics = topics.difference(tasks) | {"task:*"}
    # JSON keeps a newline inside of an id from beginning a line of the stream.
    return f"event: topics\ndata: {json.dumps(sorted(topics))}\n\n".encode()


ROUTES = [live]
