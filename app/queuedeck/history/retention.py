# SPDX-License-Identifier: AGPL-3.0-only
"""What a project keeps, and what each day takes."""

import msgspec


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days, today included, a project keeps less than the server does."""

    project_id: int
    task_days: int
    payload_days: int
    """Arguments, results, tracebacks, sealed calls."""


class DayUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the tasks of one project take on disk that were filed under one day."""

    day: int
    """Days since the epoch, UTC."""
    tasks: int
    bytes: int
    """Estimated when they were written."""
