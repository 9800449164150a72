# SPDX-License-Identifier: AGPL-3.0-only
"""Errors as a page; to HTMX as a toast, since an error must not replace what is on the screen."""

import json
from typing import Any

from litestar import Response

from queuedeck.entrance.errors import ErrorView
from queuedeck.entrance.types import AnyRequest
from queuedeck.web.door import ErrorPageView, door

_TITLES = {
    403: "Not allowed",
    404: "Not here",
    409: "Not now",
    422: "Not valid",
    429: "Too often",
    503: "Not available now",
}


def error_page(request: AnyRequest, view: ErrorView) -> Response[Any]:
    title = _TITLES.get(view.status, "Something went wrong")
    page = ErrorPageView(view.status, title, view.message)
    response = door(request, "errors/show.html", title, page, view.status)
    if "hx-request" in request.headers:
        toast = {"queuedeck:toast": {"text": view.message, "state": "failed"}}
        response.headers["HX-Trigger"] = json.dumps(toast)
        response.headers["HX-Reswap"] = "none"
    return response
