# SPDX-License-Identifier: AGPL-3.0-only
"""The counters of a project."""

import msgspec


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one project, exact."""

    events: int
    lost: int
    """Events that agents had to drop, by their own `Loss` records."""
    quarantined: int
    states: dict[str, dict[str, int]]
    """engine -> state -> number of tasks."""
    newest_us: int | None
    """When the newest event happened."""
