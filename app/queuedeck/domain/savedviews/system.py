# SPDX-License-Identifier: AGPL-3.0-only
"""The views that every project has: what people ask first when something is wrong."""

import msgspec


class SystemView(msgspec.Struct, frozen=True):
    ref: str
    """Its word in addresses; never a number."""
    name: str
    question: str


SYSTEM_VIEWS = (
    SystemView("failed", "Failed, last 24 h", "state:failed at:1d"),
    SystemView("waiting", "Waiting over 5 min", "state:queued wait:>5m"),
    SystemView("lost", "Lost", "state:lost"),
    SystemView("running", "Running over 10 min", "state:running runtime:>10m"),
    SystemView("scheduled", "Scheduled", "state:scheduled"),
)
