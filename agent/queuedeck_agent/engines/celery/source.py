# SPDX-License-Identifier: Apache-2.0
"""The source of a Celery application: its broker and key prefix, read from its settings."""

from typing import Any

from queuedeck_agent.engines import sources


def find_source(app: Any) -> sources.Source:
    """Reads the application's settings, opens no connection."""
    options = app.conf.broker_transport_options or {}
    prefix = options.get("global_keyprefix") or ""
    configured = app.conf.broker_write_url or app.conf.broker_url or app.connection().as_uri()
    prefix = prefix if isinstance(prefix, str) else ""
    return sources.name_source("celery", _urls(configured), prefix)


def _urls(configured: object) -> list[str]:
    """One URL, several by `;`, or a list of them (fail-over)."""
    if isinstance(configured, str):
        return configured.split(";")
    if isinstance(configured, (list, tuple)):
        return [one for one in configured if isinstance(one, str)]
    return []
