# SPDX-License-Identifier: AGPL-3.0-only
"""Serves the static folder from memory, to be cached for ever."""

from litestar import Response, get
from litestar.params import FromPath

from queuedeck.entrance.guards import public
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import NotFound
from queuedeck.web.assets import assets

IMMUTABLE = "public, max-age=31536000, immutable"
BRIEF = "public, max-age=60"
"""For a page of another version that is still open: its files are gone, ours will do."""


@get("/static/{version:str}/{name:path}", guards=[public()], sync_to_thread=False)
def static_file(
    request: AnyRequest, version: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    found = assets().files.get(name.lstrip("/"))
    if found is None:
        raise NotFound("There is no such file.")
    zipped = found.zipped and "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "Cache-Control": IMMUTABLE if version == assets().version else BRIEF,
        "Vary": "Accept-Encoding",
    }
    if zipped:
        headers["Content-Encoding"] = "gzip"
    body = found.zipped if zipped else found.body
    return Response(body, media_type=found.media_type, headers=headers)


ROUTES = [static_file]
