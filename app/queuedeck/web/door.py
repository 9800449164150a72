# SPDX-License-Identifier: AGPL-3.0-only
"""Pages for people who are not signed in: no rail, no project."""

from typing import Any

import msgspec
from litestar import Response

from queuedeck.entrance.types import AnyRequest
from queuedeck.web.rendering import html, render, theme_of


class DoorShell(msgspec.Struct, frozen=True):
    title: str
    theme: str


class LoginView(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    next: str
    email: str = ""
    error: str = ""


class SetupView(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    signs_in: str = ""
    """Whom the link signs in; empty when it makes the first user."""
    email: str = ""
    name: str = ""
    email_error: str = ""
    password_error: str = ""
    error: str = ""


class ErrorPageView(msgspec.Struct, frozen=True):
    status: int
    title: str
    message: str


def door(
    request: AnyRequest, template: str, title: str, view: msgspec.Struct, status: int = 200
) -> Response[Any]:
    shell = DoorShell(title, theme_of(request))
    return html(render(template, shell=shell, view=view), status)
