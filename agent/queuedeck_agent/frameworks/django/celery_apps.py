# SPDX-License-Identifier: Apache-2.0
"""Finds the Celery application of a Django project, wherever people put it.

Where it is said: QUEUEDECK["CELERY_APP"] or CELERY_APP in the settings. Else what is loaded when
Django is ready; else modules with the usual names beside settings, URLs, WSGI and the project's
own apps.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings

from queuedeck_agent.frameworks.django.apps import given

MODULES = (
    "celery", "celery_app", "celeryapp", "celery_config", "taskapp.celery", "worker", "tasks",
)  # fmt: skip
"""Names below a package of the project."""
ATTRIBUTES = ("app", "celery", "celery_app", "application")
_LIBRARIES = ("site-packages", "dist-packages")
_FOREIGN = ("celery", "kombu", "django_celery_beat", "django_celery_results", "queuedeck_agent")


class Found(NamedTuple):
    """One application."""

    place: str
    """As `celery -A` takes it."""
    app: Any
    is_loaded: bool
    """Django loads it by itself; else web processes send `shared_task`s elsewhere."""


class Trouble(NamedTuple):
    """A module with the right name that cannot be imported, or holds no application."""

    place: str
    text: str


def find() -> tuple[list[Found], list[Trouble]]:
    """Every application that was found, and what went wrong on the way."""
    if importlib.util.find_spec("celery") is None:
        return [], []
    troubles: list[Trouble] = []
    loaded = list(_loaded())
    named = given().get("CELERY_APP") or getattr(settings, "CELERY_APP", None)
    if named:
        found = _at(named, troubles)
        known = [one.app for one in loaded]
        return [one._replace(is_loaded=one.app in known) for one in found], troubles
    return (loaded or _in_modules(troubles)), troubles


def _loaded() -> Iterator[Found]:
    """Applications in the modules that are loaded now, each once, where it was made if possible."""
    if "celery" not in sys.modules:
        return
    found: dict[int, Found] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in _FOREIGN:
            for attribute, app in _apps_in(module):
                if id(app) not in found or name.endswith(MODULES):
                    found[id(app)] = Found(f"{name}:{attribute}", app, True)
    yield from found.values()


def _in_modules(troubles: list[Trouble]) -> list[Found]:
    """The first module that has one; two places would be two opinions."""
    for package in _packages():
        for name in MODULES:
            found = _at(f"{package}.{name}", troubles, is_asked=False)
            if found:
                return found
    return []


def _at(place: object, troubles: list[Trouble], is_asked: bool = True) -> list[Found]:
    """`package.module`, `package.module:app`, `package.module.app`, or the application itself."""
    if not isinstance(place, str):
        return [Found(f"{type(place).__name__} in the settings", place, False)]
    module, attribute = _module_of(place, troubles)
    if module is None:
        if is_asked and not troubles:
            troubles.append(Trouble(place, "there is no such module"))
        return []
    found = [
        Found(f"{module.__name__}:{name}", app, False)
        for name, app in _apps_in(module)
        if attribute in ("", name)
    ]
    if is_asked and not found:
        troubles.append(Trouble(place, "there is no Celery application in it"))
    return found[:1]


def _module_of(place: str, troubles: list[Trouble]) -> tuple[ModuleType | None, str]:
    name, _, attribute = place.partition(":")
    module = _imported(name, troubles)
    if module is None and not attribute and "." in name and not troubles:
        name, _, attribute = name.rpartition(".")
        module = _imported(name, troubles)
    return module, attribute


def _imported(name: str, troubles: list[Trouble]) -> ModuleType | None:
    """None when there is no such module; one that breaks is trouble to be told."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        if importlib.util.find_spec(name) is None:
            return None
    except (ImportError, ValueError, AttributeError):
        return None  # something above it is no package
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever the project's own module does
        troubles.append(Trouble(name, f"it cannot be imported: {type(error).__name__}: {error}"))
        return None


def _apps_in(module: ModuleType) -> list[tuple[str, Any]]:
    """(attribute, application): the usual attributes first. Looks at types only."""
    celery = sys.modules.get("celery.app.base")
    kind = getattr(celery, "Celery", None)
    if kind is None:
        return []
    held = dict(getattr(module, "__dict__", None) or {})  # some put other things in sys.modules
    found = {name: one for name, one in held.items() if kind in type(one).__mro__}
    names = [name for name in ATTRIBUTES if name in found] or list(found)[:1]
    return [(name, found[name]) for name in names]


def _packages() -> list[str]:
    """Packages of the project, nearest to its settings first."""
    places = [
        os.environ.get("DJANGO_SETTINGS_MODULE", ""),
        str(getattr(settings, "ROOT_URLCONF", "") or ""),
        str(getattr(settings, "WSGI_APPLICATION", "") or "").rpartition(".")[0],
        str(getattr(settings, "ASGI_APPLICATION", "") or "").rpartition(".")[0],
    ]
    packages: list[str] = []
    for place in places:
        while place:
            place = place.rpartition(".")[0]
            packages.append(place)
    packages += [
        config.name
        for config in apps.get_app_configs()
        if not any(part in config.path for part in _LIBRARIES)
    ]
    return [one for one in dict.fromkeys(packages) if one and one.partition(".")[0] not in _FOREIGN]
