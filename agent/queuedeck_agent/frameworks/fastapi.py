# SPDX-License-Identifier: Apache-2.0
"""The lifespan of a FastAPI application: `app = FastAPI(lifespan=lifespan())`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from queuedeck_agent import request as requests
from queuedeck_agent.frameworks import attaching
from queuedeck_agent.guard import contained

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def lifespan(
    own: Lifespan | None = None, *, user: attaching.User | None = None, **settings: object
) -> Lifespan:
    """Attaches the agent while the application serves, around the application's `own` lifespan.

    `user`: takes the connection (as `Request` without its body) and gives the id of its user.
    `settings`: those of the agent in lower case, for example `dsn`, `release`, `allow`; variables
    of the environment go before them.
    """
    attaching.configure({name.upper(): value for name, value in settings.items()}, "lifespan()")
    attaching.attach()

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[Any]:
        _follow_requests(app, user)
        attaching.serve()
        try:
            if own is None:
                yield
            else:
                async with own(app) as state:
                    yield state
        finally:
            await asyncio.to_thread(attaching.stop)

    return run


class RequestContext:
    """ASGI middleware: tasks of a request carry its route. For what is mounted or has no lifespan;
    the lifespan above puts it in place by itself.
    """

    def __init__(self, app: ASGIApp, user: attaching.User | None = None) -> None:
        self.app = app
        self.user = attaching.checked_user(user, "FastAPI's `user`")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route and user are read when a task is published: they are not known yet."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        attaching.serve()
        one = self._begin(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            if one is not None:
                one.end()

    @contained
    def _begin(self, scope: Scope) -> requests.Request:
        user, root = self.user, str(scope.get("root_path") or "")
        return requests.begin(
            lambda: _route(scope, root),
            None if user is None else lambda: user(HTTPConnection(scope)),
        )


@contained
def _follow_requests(app: FastAPI, user: attaching.User | None) -> None:
    """Around the whole stack, which is built by now: `add_middleware` would be refused."""
    stack = app.middleware_stack
    if stack is not None and not isinstance(stack, RequestContext):
        app.middleware_stack = RequestContext(stack, user)


def _route(scope: Scope, root: str) -> str:
    """The router puts the route into the scope when it has found one."""
    found: Any = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path = str(getattr(found, "path", "") or "")
    method = scope.get("method") if scope["type"] == "http" else "WEBSOCKET"
    return requests.named(method, path and _mounted_at(scope, root) + path)


def _mounted_at(scope: Scope, root: str) -> str:
    """Where the application that found the route is mounted, without values of parameters.

    `root` is what the server put before all paths; what came to it since then are the mounts.
    """
    place = str(scope.get("root_path") or "").removeprefix(root)
    if not place:
        return ""
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    parts = [f"{{{names[part]}}}" if part in names else part for part in place.split("/")]
    return "/".join(parts)
