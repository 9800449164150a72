# SPDX-License-Identifier: Apache-2.0
"""The Queuedeck agent. Importing this package does nothing; see `autoload` and `attach`.

A task may say more of itself: see `progress` and `tag`. Outside of a task, or without an agent,
both do nothing; neither raises.
"""


def progress(current: float, total: "float | None" = None, message: str = "") -> None:
    """How far the running task is, shown on its page. Call it as often as you like: about one
    report a second is sent, and the last one always."""
    from queuedeck_agent import reporting

    reporting.progress(current, total, message)


def tag(*tags: str) -> None:
    """Puts tags on the running task, by which it can be found: up to 20, of up to 64 characters."""
    from queuedeck_agent import reporting

    reporting.tag(tags)
