# SPDX-License-Identifier: AGPL-3.0-only
"""Turns errors into answers: JSON for programs, a page for browsers. The only place that does."""

import logging
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid, QueuedeckError

RETRY_AFTER_S = 5
"""What clients are told when the server cannot write, or was asked too often."""

_log = logging.getLogger("queuedeck.entrance")

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many",
}
_MESSAGES = {
    404: "There is nothing here, or nothing that you may see.",
    405: "This address does not take that method.",
    413: "The request is larger than this server takes.",
    500: "The server met an error that it does not know. Its log says more.",
}


class TwoCredentials(Invalid):
    """Send either a session cookie or a bearer token, not both."""

    code = "two_credentials"
    status = 400


class ErrorView(msgspec.Struct, frozen=True):
    """What a person or a program is told."""

    status: int
    code: str
    message: str
    details: dict[str, object] = {}
    """More for programs."""


ErrorPage = Callable[[AnyRequest, ErrorView], Response[Any]]
"""Makes the HTML answer; the web package supplies it."""


def exception_handlers(error_page: ErrorPage) -> ExceptionHandlersMap:  # pyright: ignore[reportUnknownParameterType]
    """The handlers of the whole application."""

    def answer(request: AnyRequest, error: Exception) -> Response[Any]:
        view = view_of(error)
        if view.status >= 500 and not isinstance(error, QueuedeckError):
            _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        if wants_json(request):
            return _json(view)
        if view.status == 401:
            return _to_login(request)
        return error_page(request, view)

    return cast("ExceptionHandlersMap", {Exception: answer, HTTPException: answer})


def view_of(error: Exception) -> ErrorView:
    """Status, code and message of any error; nothing internal of those that are not ours."""
    if isinstance(error, QueuedeckError):
        return ErrorView(error.status, error.code, error.message, error.details)
    if isinstance(error, ValidationException):
        return ErrorView(422, "invalid", _validation_message(error))
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 400 and isinstance(error, HTTPException):
        return ErrorView(400, "bad_request", error.detail)
    message = _MESSAGES.get(status, "The server does not take this request.")
    return ErrorView(status, _CODES.get(status, "error"), message)


def wants_json(request: AnyRequest) -> bool:
    """Whether the path is one that programs ask."""
    path = request.scope["path"]
    return path.startswith(("/api/", "/agent/")) or path in ("/healthz", "/readyz")


def _json(view: ErrorView) -> Response[Any]:
    headers: dict[str, str] = {}
    if view.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="queuedeck"'
    if view.status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    body = {"error": {"code": view.code, "message": view.message, **view.details}}
    return Response(body, status_code=view.status, media_type=MediaType.JSON, headers=headers)


def _to_login(request: AnyRequest) -> Response[Any]:
    if request.headers.get("hx-request"):
        # HTMX would follow a redirect and put the login form into the middle of the page.
        return Response("", status_code=401, headers={"HX-Redirect": "/login"})
    return Redirect(f"/login?next={quote(_asked_for(request), safe='/')}", status_code=303)


def _asked_for(request: AnyRequest) -> str:
    """Where to go after signing in: the page with its filter, but nothing that was to be done."""
    if request.method != "GET":
        return "/"
    query = request.scope["query_string"].decode("latin-1")
    return request.scope["path"] + (f"?{query}" if query else "")


def _validation_message(error: ValidationException) -> str:
    extra = error.extra
    if isinstance(extra, list) and extra:
        first = cast("dict[str, Any]", extra[0])
        key = str(first.get("key") or "").strip()
        message = str(first.get("message") or "is not valid")
        return f"{key}: {message}" if key else message
    return error.detail
