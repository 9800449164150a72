# SPDX-License-Identifier: AGPL-3.0-only
"""Signing in and out."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.response import Redirect

from queuedeck.domain.accounts.queries import UserSeen
from queuedeck.domain.accounts.service import authenticate
from queuedeck.domain.accounts.sessions import end_session, start_session
from queuedeck.entrance.guards import public, signed_in
from queuedeck.entrance.identity import address_of, identify, session_token, set_session
from queuedeck.entrance.services import Services
from queuedeck.entrance.types import AnyRequest
from queuedeck.errors import TooMany, Unauthorized
from queuedeck.web.door import LoginView, door


class LoginForm(msgspec.Struct, frozen=True):
    email: str = ""
    password: str = ""
    next: str = "/"


@get("/login", guards=[public()])
async def show_login(
    request: AnyRequest, services: NamedDependency[Services], next: FromQuery[str] = "/"
) -> Response[Any]:
    if await identify(request, services):
        return Redirect(local_path(next), status_code=303)
    view = LoginView(host=request.headers.get("host", ""), next=local_path(next))
    return door(request, "login/show.html", "Sign in", view)


@post("/login", guards=[public()], status_code=200)
async def log_in(
    request: AnyRequest, services: NamedDependency[Services], data: URLEncodedBody[LoginForm]
) -> Response[Any]:
    try:
        user = await authenticate(
            services.control, services.keyring, services.passwords, data.email, data.password,
            ip=address_of(request), clock=services.clock,
        )  # fmt: skip
    except (Unauthorized, TooMany) as error:
        view = LoginView(
            host=request.headers.get("host", ""), next=local_path(data.next), email=data.email,
            error=error.message,
        )  # fmt: skip
        return door(request, "login/show.html", "Sign in", view, 422)
    return await enter(request, services, user, local_path(data.next))


@post("/logout", guards=[signed_in()], status_code=303)
async def log_out(request: AnyRequest, services: NamedDependency[Services]) -> Response[Any]:
    token = session_token(request, services.settings)
    await end_session(
        services.control, services.keyring, token, ip=address_of(request), clock=services.clock
    )
    response = Redirect("/login", status_code=303)
    set_session(response, services.settings, "")
    return response


async def enter(
    request: AnyRequest, services: Services, user: UserSeen, to: str, auth: str = "password"
) -> Response[Any]:
    """Start a session and go to a page; the session the browser had before ends."""
    previous = session_token(request, services.settings)
    token = await start_session(
        services.control, services.keyring, user,
        ip=address_of(request), auth=auth, previous=previous, clock=services.clock,
    )  # fmt: skip
    response = Redirect(to, status_code=303)
    set_session(response, services.settings, token)
    return response


def local_path(path: str) -> str:
    """Only paths of this server: anything else would send people elsewhere after signing in."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local and "\\" not in path else "/"


ROUTES = [show_login, log_in, log_out]
