# SPDX-License-Identifier: AGPL-3.0-only
"""One-time links: the first account, or a link that signs in. Opening one changes nothing."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from queuedeck.domain.accounts.links import (
    find_setup_link,
    redeem_setup_link,
    redeem_sign_in_link,
)
from queuedeck.domain.accounts.passwords import check_length
from queuedeck.domain.accounts.service import check_email
from queuedeck.entrance.guards import public
from queuedeck.entrance.identity import address_of
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import Invalid
from queuedeck.web.door import SetupView, door
from queuedeck.web.login import enter


class SetupForm(msgspec.Struct, frozen=True):
    name: str = ""
    email: str = ""
    password: str = ""


@get("/setup/{token:str}", guards=[public()])
async def show_setup(
    request: AnyRequest, services: NamedDependency[Services], token: FromPath[str]
) -> Response[Any]:
    link = await find_setup_link(services.control, token, services.clock)
    view = SetupView(url=f"/setup/{token}", signs_in=link.user.email if link.user else "")
    title = "Sign in" if link.user else "Set up"
    return door(request, "login/setup.html", title, view)


@post("/setup/{token:str}", guards=[public()], status_code=200)
async def use_setup(
    request: AnyRequest,
    services: NamedDependency[Services],
    token: FromPath[str],
    data: URLEncodedBody[SetupForm],
) -> Response[Any]:
    link = await find_setup_link(services.control, token, services.clock)
    if link.user:
        user = await redeem_sign_in_link(services.control, token, services.clock)
        return await enter(request, services, user, "/", "setup-link")
    problems = _problems(data)
    if problems:
        view = SetupView(url=f"/setup/{token}", email=data.email, name=data.name, **problems)
        return door(request, "login/setup.html", "Set up", view, 422)
    user = await redeem_setup_link(
        services.control, services.keyring, services.passwords,
        token, data.email, data.name, data.password,
        ip=address_of(request), clock=services.clock,
    )  # fmt: skip
    return await enter(request, services, user, "/", "setup-link")


def _problems(data: SetupForm) -> dict[str, str]:
    """What is wrong, by field of the view."""
    found: dict[str, str] = {}
    checks = (
        ("email_error", check_email, data.email),
        ("password_error", check_length, data.password),
    )
    for field, check, value in checks:
        try:
            check(value)
        except Invalid as error:
            found[field] = error.message
    return found


ROUTES = [show_setup, use_setup]
