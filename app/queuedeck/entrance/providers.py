# SPDX-License-Identifier: AGPL-3.0-only
"""What handlers get by naming it in their arguments, annotated `NamedDependency[...]`."""

from typing import cast

from litestar.di import Provide

from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.projects.access import Access
from queuedeck.entrance.guards import ACCESS_KEY, services_of
from queuedeck.entrance.identity import Identity, identify
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import NotFound, Unauthorized


async def provide_services(request: AnyRequest) -> Services:
    return services_of(request)


async def provide_identity(request: AnyRequest) -> Identity:
    """Who asks; only on routes that need somebody."""
    identity = await identify(request, services_of(request))
    if identity is None:
        raise Unauthorized
    return identity


async def provide_actor(request: AnyRequest) -> Actor:
    return (await provide_identity(request)).actor


async def provide_access(request: AnyRequest) -> Access:
    """The project of the path and the role in it; only on routes that `requires(...)`."""
    access = request.scope["state"].get(ACCESS_KEY)
    if access is None:
        raise NotFound
    return cast("Access", access)


DEPENDENCIES = {
    "services": Provide(provide_services),
    "identity": Provide(provide_identity),
    "actor": Provide(provide_actor),
    "access": Provide(provide_access),
}
