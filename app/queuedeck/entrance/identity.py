# SPDX-License-Identifier: AGPL-3.0-only
"""Who asks: a signed-in browser by its cookie, or a program by its bearer token. Never both."""

import hashlib
import hmac
from typing import Any

import msgspec
from litestar import Response
from litestar.datastructures import Cookie

from queuedeck.clock import SECOND_US
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.sessions import ABSOLUTE_US, find_session
from queuedeck.domain.projects.queries import find_api_token
from queuedeck.entrance.errors import TwoCredentials
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import Connection
from queuedeck.errors import Unauthorized
from queuedeck.ids import hash_secret
from queuedeck.settings import Settings

API_PREFIX = "/api/"
_STATE_KEY = "queuedeck_identity"


class Identity(msgspec.Struct, frozen=True):
    """Whoever asks, once the credential holds."""

    actor: Actor
    csrf: str = ""
    """What this session's forms must send back; empty for programs, which have no cookie."""

    @property
    def by_cookie(self) -> bool:
        return bool(self.csrf)


async def identify(connection: Connection, services: Services) -> Identity | None:
    """Who asks; None for nobody. Raises `Unauthorized` when a credential does not hold."""
    state = connection.scope["state"]
    if _STATE_KEY not in state:
        state[_STATE_KEY] = await _identify(connection, services)
    return state[_STATE_KEY]


def address_of(connection: Connection) -> str:
    """The client's address, for the throttle and the audit log."""
    return connection.client.host if connection.client else ""


def session_token(connection: Connection, settings: Settings) -> str:
    """The token of the session cookie; empty when there is none."""
    return connection.cookies.get(cookie_name(settings), "")


def set_session(response: Response[Any], settings: Settings, token: str) -> None:
    """Give the browser a session; an empty token takes it away."""
    response.set_cookie(
        Cookie(
            key=cookie_name(settings),
            value=token,
            path="/",
            max_age=ABSOLUTE_US // SECOND_US if token else 0,
            secure=settings.is_https,
            httponly=True,
            samesite="lax",
        )
    )


def cookie_name(settings: Settings) -> str:
    """With the prefix that keeps other hosts of the domain from setting it, where TLS allows."""
    return "__Host-queuedeck" if settings.is_https else "queuedeck"


def csrf_token(services: Services, token: str) -> str:
    """Bound to the session: another session's token does not fit."""
    return hmac.new(services.keyring.csrf_key, token.encode(), hashlib.sha256).hexdigest()


async def _identify(connection: Connection, services: Services) -> Identity | None:
    token = session_token(connection, services.settings)
    authorization = connection.headers.get("authorization", "")
    if token and authorization:
        raise TwoCredentials
    if authorization:
        return await _by_bearer(connection, services, authorization)
    if not token:
        return None
    session = await services.control.remembered(
        ("session", hash_secret(token)),
        lambda: find_session(services.control, token, services.clock),
    )
    if session is None:
        return None
    return Identity(session.actor(address_of(connection)), csrf_token(services, token))


async def _by_bearer(connection: Connection, services: Services, authorization: str) -> Identity:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not connection.scope["path"].startswith(API_PREFIX):
        raise Unauthorized("Programs sign in with `Authorization: Bearer qd_pat_...` under /api.")
    token = token.strip()
    found = await services.control.remembered(
        ("token", hash_secret(token)),
        lambda: find_api_token(services.control, token, services.clock),
    )
    if found is None:
        raise Unauthorized("This API token is not known here, was revoked or has expired.")
    actor = Actor("token", str(found.token_id), found.prefix, "bearer", address_of(connection))
    return Identity(actor)
