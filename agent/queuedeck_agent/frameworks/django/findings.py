# SPDX-License-Identifier: Apache-2.0
"""What `queuedeck_check` looks at: the way to the server, and each task queue of the project."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.urls import get_resolver

from queuedeck_agent import config
from queuedeck_agent.doctor import Finding, examine
from queuedeck_agent.engines import sources
from queuedeck_agent.frameworks.django import celery_apps
from queuedeck_agent.frameworks.django.apps import given
from queuedeck_agent.frameworks.django.middleware import PATH

_OURS = "attachment"
"""The doctor's step about Python's start: here the Django app attaches, whatever it says."""


def look() -> Iterator[Finding]:
    """First the doctor's steps, with Django's settings; then what is Django's."""
    for finding in examine([]):
        if finding.step != _OURS:
            yield finding
    if config.effective().get("QUEUEDECK_DSN"):
        yield Finding(_OURS, True, f"by the Django app, with the DSN from {_place()}")
    yield _middleware()
    trouble = _urls()
    if trouble is not None:
        yield trouble
    engines = [*_celery(), *_rq(), *_dramatiq(), *_huey()]
    yield from engines
    if not engines:
        todo = "If it is a Celery application, name its place: QUEUEDECK['CELERY_APP']."
        yield Finding("engine", False, "no task queue of this project was found", todo)


def _place() -> str:
    given_dsn = bool(given().get("DSN"))
    in_environment = config.effective().get("QUEUEDECK_DSN") != str(given().get("DSN"))
    return "QUEUEDECK" if given_dsn and not in_environment else "the environment"


def _middleware() -> Finding:
    if PATH in settings.MIDDLEWARE:
        user = " and the user" if given().get("USER") else ""
        return Finding("request", True, f"tasks carry the route{user} of the request")
    text = "tasks do not carry the route of the request: the middleware is not in MIDDLEWARE"
    return Finding("request", not given().get("USER"), text, f"Add {PATH!r} there.")


def _urls() -> Finding | None:
    """Loads what a web process loads, which may load the Celery application."""
    try:
        get_resolver().url_patterns  # noqa: B018 - the imports are what is wanted
    except Exception as error:  # noqa: BLE001 - whatever the project's own modules do
        text = f"they cannot be loaded: {type(error).__name__}: {error}"
        return Finding("urls", False, text, "Correct it; `manage.py check` says more.")
    return None


def _celery() -> Iterator[Finding]:
    found, troubles = celery_apps.find()
    for trouble in troubles:
        text = f"{trouble.place}: {trouble.text}"
        yield Finding("celery app", False, text, "Correct it, or set QUEUEDECK['CELERY_APP'].")
    for one in found:
        from queuedeck_agent.engines.celery.source import find_source

        text = f"{one.place} on {find_source(one.app).name}"
        if one.is_loaded:
            yield Finding("celery app", True, text)
            continue
        module = one.place.partition(":")[0]
        text += "; Django does not load it, so web processes send shared tasks to another broker"
        todo = f"Import {module} in the __init__.py of the project's package."
        yield Finding("celery app", False, text, todo)


def _rq() -> Iterator[Finding]:
    queues: object = getattr(settings, "RQ_QUEUES", None)
    if not isinstance(queues, Mapping):
        return
    for name, options in cast("Mapping[str, Any]", queues).items():
        url = options.get("URL") or options.get("UNIX_SOCKET_PATH")
        if not url:
            host, port = options.get("HOST", "localhost"), options.get("PORT", 6379)
            url = f"redis://{host}:{port}/{options.get('DB', 0)}"
        yield Finding("rq queue", True, f"{name} on {sources.name_source('rq', [str(url)]).name}")


def _dramatiq() -> Iterator[Finding]:
    """The broker that is set: asking Dramatiq for one would make one for RabbitMQ."""
    module = sys.modules.get("dramatiq.broker")
    broker = getattr(module, "global_broker", None)
    if broker is None:
        if getattr(settings, "DRAMATIQ_BROKER", None) is not None:
            text = "DRAMATIQ_BROKER is set, but no broker is made when Django is ready"
            yield Finding(
                "dramatiq broker", False, text, "Add 'django_dramatiq' to INSTALLED_APPS."
            )
        return
    from queuedeck_agent.engines.dramatiq.source import find_source

    yield Finding("dramatiq broker", True, f"{type(broker).__name__} on {find_source(broker).name}")


def _huey() -> Iterator[Finding]:
    if not apps.is_installed("huey.contrib.djhuey"):
        if getattr(settings, "HUEY", None) is not None:
            text = "HUEY is set, but 'huey.contrib.djhuey' is not in INSTALLED_APPS"
            yield Finding("huey queue", False, text, "Add it there.")
        return
    from queuedeck_agent.engines.huey.source import find_source

    try:
        huey: Any = importlib.import_module("huey.contrib.djhuey").HUEY
    except Exception as error:  # noqa: BLE001 - its settings may be anything
        text = f"it cannot be loaded: {type(error).__name__}: {error}"
        yield Finding("huey queue", False, text, "Correct the setting HUEY.")
        return
    yield Finding("huey queue", True, f"{huey.name} on {find_source(huey.storage).name}")
