# SPDX-License-Identifier: AGPL-3.0-only
"""Jinja: one environment, autoescaped and strict, and the answers made with it."""

from functools import cache
from typing import cast

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.enums import MediaType

from queuedeck import __version__, paths
from queuedeck.entrance.types import AnyRequest
from queuedeck.web.assets import static_url
from queuedeck.web.jsontree import lock_parts

THEMES = ("light", "dark")


@cache
def environment(*, reload: bool = False) -> Environment:
    """The templates; `reload` looks at the files again at each use."""
    made = Environment(
        loader=FileSystemLoader(paths.TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=reload,
    )
    # Jinja declares these as dicts of its own defaults.
    cast("dict[str, object]", made.globals)["static_url"] = static_url
    cast("dict[str, object]", made.globals)["version"] = __version__
    cast("dict[str, object]", made.filters)["lock_parts"] = lock_parts
    return made


def render(template: str, **context: object) -> str:
    return environment().get_template(template).render(**context)


def page(
    request: AnyRequest,
    template: str,
    shell: msgspec.Struct,
    view: msgspec.Struct,
    status: int = 200,
) -> Response[str]:
    """A whole page, or to HTMX only what changes; the same template makes both."""
    return html(render_page(request, template, shell, view), status)


def render_page(
    request: AnyRequest, template: str, shell: msgspec.Struct, view: msgspec.Struct
) -> str:
    """What `page` answers with."""
    layout = "layouts/fragment.html" if is_partial(request) else "layouts/page.html"
    return render(template, layout=layout, shell=shell, view=view)


def html(body: str, status: int = 200) -> Response[str]:
    headers = {"Vary": "HX-Request, Cookie"}
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=headers)


def is_partial(request: AnyRequest) -> bool:
    """HTMX asks for a fragment, except when it restores a page of the history."""
    headers = request.headers
    return "hx-request" in headers and "hx-history-restore-request" not in headers


def theme_of(request: AnyRequest) -> str:
    theme = request.cookies.get("theme", "")
    return theme if theme in THEMES else ""
