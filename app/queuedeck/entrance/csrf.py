# SPDX-License-Identifier: AGPL-3.0-only
"""Keeps other sites from acting through a signed-in browser: by what the browser says about where
a request comes from, and by a token that only our own pages hold. Both must fit.
"""

import hmac
from urllib.parse import urlsplit

from queuedeck.entrance.identity import API_PREFIX, Identity
from queuedeck.entrance.types import AnyRequest, Connection
from queuedeck.errors import Forbidden
from queuedeck.settings import Settings

HEADER = "x-csrf-token"
FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class CrossSite(Forbidden):
    """This request came from another site, or from an old page. Reload it and try again."""

    code = "cross_site"


def check_origin(connection: Connection, settings: Settings) -> None:
    """Refuse writes that another site started. Programs send neither header."""
    if connection.scope.get("method", "GET") in SAFE_METHODS:
        return
    if connection.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise CrossSite
    origin = connection.headers.get("origin")
    if origin is not None and not _is_own(origin, connection, settings):
        raise CrossSite


async def check_token(request: AnyRequest, identity: Identity) -> None:
    """Refuse what a cookie allows but no page of this session sent."""
    is_api = request.scope["path"].startswith(API_PREFIX)
    if not identity.by_cookie or (request.method in SAFE_METHODS and not is_api):
        return
    sent = request.headers.get(HEADER, "")
    if not sent and not is_api and request.headers.get("content-type", "").startswith(_FORM_TYPES):
        sent = str((await request.form()).get(FIELD, ""))
    if not hmac.compare_digest(sent.encode(), identity.csrf.encode()):
        raise CrossSite


def _is_own(origin: str, connection: Connection, settings: Settings) -> bool:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https"):
        return False
    own = urlsplit(settings.url)
    by_setting = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    return by_setting or parts.netloc == connection.headers.get("host", "")
