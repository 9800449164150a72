# SPDX-License-Identifier: Apache-2.0
"""Tasks that are published while a request is served carry its route, and its user if wanted."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from queuedeck_agent import request as requests
from queuedeck_agent.frameworks import attaching
from queuedeck_agent.frameworks.django.apps import given
from queuedeck_agent.guard import contained

PATH = "queuedeck_agent.frameworks.django.middleware.RequestContext"


class RequestContext:
    """For sync and async handlers alike; put it first, or anywhere."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.user = chosen_user()
        # Django's own question: that of `inspect` does not know what is marked before Python 3.12.
        self.is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The response, or for an async handler what it is awaited from."""
        if self.is_async:
            return self._answer(request)
        one = self._begin(request)
        try:
            return self.get_response(request)
        finally:
            if one is not None:
                one.end()

    async def _answer(self, request: HttpRequest) -> Any:
        one = self._begin(request)
        try:
            return await self.get_response(request)
        finally:
            if one is not None:
                one.end()

    @contained
    def _begin(self, request: HttpRequest) -> requests.Request:
        user = self.user
        return requests.begin(
            lambda: _route(request), None if user is None else lambda: user(request)
        )


@contained
def chosen_user() -> attaching.User | None:
    """QUEUEDECK["USER"]: True, a function of the request, or the dotted path of one."""
    user = given().get("USER")
    if isinstance(user, str):
        user = import_string(user)
    chosen = loaded_user if user is True else user
    return attaching.checked_user(chosen, 'Django\'s QUEUEDECK["USER"]')


def loaded_user(request: HttpRequest) -> object:
    """The key of the user that the application itself has loaded; makes no query for it."""
    user: Any = vars(request).get("user")
    if isinstance(user, LazyObject) and vars(user).get("_wrapped", empty) is empty:
        user = vars(request).get("_acached_user")  # by `await request.auser()`
    return user.pk if user is not None and user.is_authenticated else None


def _route(request: HttpRequest) -> str:
    """Known once the address is resolved; a pattern that is a regular expression is shown as one,
    without its ends.
    """
    match = request.resolver_match
    if match is None:
        return ""
    return requests.named(request.method, match.route.removeprefix("^").removesuffix("$"))
