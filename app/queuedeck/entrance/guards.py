# SPDX-License-Identifier: AGPL-3.0-only
"""What a route declares about who may use it. A route that declares nothing stops the start."""

from typing import Any, cast

from litestar import Litestar, Request
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import record_refusal, require
from queuedeck.entrance.csrf import SAFE_METHODS, check_origin, check_token
from queuedeck.entrance.identity import Identity, identify
from queuedeck.entrance.paths import decode_id
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import Connection
from queuedeck.errors import Forbidden, Unauthorized

ACCESS_KEY = "queuedeck_access"


class Declaration:
    """Base of the guards below; `label` is what documentation and tests call it."""

    label = ""

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        raise NotImplementedError


class Public(Declaration):
    label = "public"

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        check_origin(connection, services_of(connection).settings)


class SignedIn(Declaration):
    label = "signed in"

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        await _known(connection)


class Requires(Declaration):
    """The path's `{project}` must be visible to whoever asks, and the role allow the permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.label = permission.value

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        identity = await _known(connection)
        slug = str(connection.path_params.get("project", ""))
        services = services_of(connection)
        try:
            access = await require(services.control, identity.actor, slug, self.permission)
        except Forbidden as error:
            if connection.scope.get("method", "GET") not in SAFE_METHODS:
                await record_refusal(
                    services.control, services.keyring, services.clock, identity.actor, slug,
                    self.permission, _target_of(connection), error,
                )  # fmt: skip
            raise
        connection.scope["state"][ACCESS_KEY] = access


def public() -> Declaration:
    """Anybody may; writes from other sites are refused all the same."""
    return Public()


def signed_in() -> Declaration:
    """Anybody who is signed in, whatever the project."""
    return SignedIn()


def requires(permission: Permission) -> Declaration:
    """Whoever may do this in the project that the path names."""
    return Requires(permission)


def declaration_of(handler: BaseRouteHandler) -> Declaration | None:
    """What the handler, or the router around it, declares; the innermost counts."""
    for layer in reversed(handler.ownership_layers):
        for guard in layer.guards or ():
            if isinstance(guard, Declaration):
                return guard
    return None


def check_routes_declare(app: Litestar) -> None:
    """Raise `UndeclaredRoute` naming every route that does not say who may use it."""
    undeclared = sorted(
        f"{route.path} ({handler})"
        for route in app.routes
        for handler in route_handlers(route)
        if declaration_of(handler) is None
    )
    if undeclared:
        raise UndeclaredRoute(
            "These routes do not say who may use them; add guards=[requires(...)] or "
            "guards=[public()]: " + ", ".join(undeclared)
        )


def route_handlers(route: object) -> list[BaseRouteHandler]:
    """The handlers of a route that somebody wrote."""
    if isinstance(route, HTTPRoute):
        # Litestar adds an OPTIONS handler that only lists the methods of the others.
        return [h for h in route.route_handlers if h.http_methods != {"OPTIONS"}]
    return [cast("Any", route).route_handler]


class UndeclaredRoute(Exception):
    """A mistake in our code, not in anybody's input."""


def services_of(connection: Connection) -> Services:
    return cast("Services", connection.app.state["services"])


def _target_of(connection: Connection) -> str:
    """What the audit log names as the object of a request."""
    named = connection.path_params
    if "task_id" in named:
        return f"task:{named['engine']}:{decode_id(str(named['task_id']))}"
    if "queue" in named:
        return f"queue:{named['engine']}:{named['source']}:{decode_id(str(named['queue']))}"
    if "agent" in named:
        return f"worker:{named['agent']}:{named['source']}"
    return f"project:{named.get('project', '')}"


async def _known(connection: Connection) -> Identity:
    services = services_of(connection)
    identity = await identify(connection, services)
    if identity is None:
        raise Unauthorized
    check_origin(connection, services.settings)
    if isinstance(connection, Request):
        await check_token(connection, identity)
    return identity
