# SPDX-License-Identifier: Apache-2.0
"""Which request of a web framework is being served: its route and, if wanted, its user.

The modules of `frameworks` say when a request begins and ends; the hooks of publishing ask. It is
kept in a context variable, so it follows the request into coroutines, and into threads where the
framework copies the context; and it ends with the request, whoever still holds a copy.
"""

import uuid
from collections.abc import Callable
from contextvars import ContextVar

from queuedeck_agent.guard import contained

MAX_ROUTE_CHARS = 200
MAX_USER_CHARS = 100

NOTHING = ("", "")

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "WEBSOCKET"}
)


class Request:
    """One request, from its begin to its end. What it says is read when a task is published."""

    __slots__ = ("_clean", "_outer", "_raw", "_route", "_user")

    def __init__(
        self, route: Callable[[], str], user: Callable[[], object] | None, outer: "Request | None"
    ) -> None:
        self._route: Callable[[], str] | None = route
        self._user = user
        self._outer = outer
        self._raw: object = None
        self._clean = ""

    @contained
    def route(self) -> str:
        """`POST /orders/{id}`: the template, never the address with its values."""
        return self._route()[:MAX_ROUTE_CHARS] if self._route is not None else ""

    @contained
    def user(self) -> str:
        """The id as text, redacted like everything else that leaves the process."""
        raw = self._user() if self._user is not None else None
        if not isinstance(raw, (str, int, uuid.UUID)) or isinstance(raw, bool):
            return ""
        if raw != self._raw or type(raw) is not type(self._raw):
            from queuedeck_agent import capture

            self._raw, self._clean = raw, capture.text(str(raw)[:MAX_USER_CHARS])
        return self._clean

    def end(self) -> None:
        """Nothing is said any more, not even to a thread that was started meanwhile."""
        self._route = self._user = None
        if _active.get() is self:
            _active.set(self._outer)


_active: "ContextVar[Request | None]" = ContextVar("queuedeck_request", default=None)


def begin(route: Callable[[], str], user: Callable[[], object] | None = None) -> Request:
    """The caller ends it. `route` and `user` are called when, and only if, a task is published."""
    request = Request(route, user, _active.get())
    _active.set(request)
    return request


def context() -> tuple[str, str]:
    """(route, user) of the request that is being served, two empty texts outside of one."""
    request = _active.get()
    return NOTHING if request is None else (request.route() or "", request.user() or "")


def named(method: object, template: str) -> str:
    """A route as it is shown. A made-up method does not make a route of its own."""
    if not template:
        return ""
    path = template if template.startswith("/") else f"/{template}"
    return f"{method if method in _METHODS else 'OTHER'} {path}"
