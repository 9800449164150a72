# SPDX-License-Identifier: AGPL-3.0-only
"""What a write answers: to HTMX a toast and a hint to refresh, to a plain form the page again."""

import json
from typing import Any

from litestar import Response
from litestar.response import Redirect

from queuedeck.entrance.types import AnyRequest


def done(request: AnyRequest, url: str, text: str, state: str = "succeeded") -> Response[Any]:
    """`state` gives the toast its icon and colour; `url` is where a plain form goes."""
    if "hx-request" not in request.headers:
        return Redirect(url, status_code=303)
    # Headers are ASCII: json escapes the rest.
    events = {"queuedeck:toast": {"text": text, "state": state}, "queuedeck:refresh": {}}
    return Response(b"", status_code=204, headers={"HX-Trigger": json.dumps(events)})
