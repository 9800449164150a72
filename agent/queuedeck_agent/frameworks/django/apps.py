# SPDX-License-Identifier: Apache-2.0
"""Attaches when Django is ready, with the setting QUEUEDECK where no variable says otherwise."""

from collections.abc import Mapping
from typing import Any, cast

from django.apps import AppConfig
from django.conf import settings
from django.core.signals import request_started

from queuedeck_agent.frameworks import attaching
from queuedeck_agent.guard import contained

OWN = frozenset({"USER", "CELERY_APP"})
"""What the setting QUEUEDECK has besides the settings of the agent."""


def given() -> Mapping[str, object]:
    """The setting QUEUEDECK, empty without one."""
    found: object = getattr(settings, "QUEUEDECK", None)
    return cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}


class QueuedeckConfig(AppConfig):
    """The label is our own: `django` would be asking for trouble."""

    name = "queuedeck_agent.frameworks.django"
    label = "queuedeck"
    verbose_name = "Queuedeck"

    def ready(self) -> None:
        """Also called in tools, in the parent of `runserver` and in masters: starts nothing."""
        _connect()


@contained
def _connect() -> None:
    known = {name: value for name, value in given().items() if name not in OWN}
    attaching.configure(known, "Django's setting QUEUEDECK")
    attaching.attach()
    request_started.connect(_serves, dispatch_uid="queuedeck-serves")


def _serves(**_: Any) -> None:
    attaching.serve()
