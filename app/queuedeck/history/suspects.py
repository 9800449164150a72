# SPDX-License-Identifier: AGPL-3.0-only
"""What must be known of a task to see whether it is stuck, and to ask an engine about it."""

import msgspec

from queuedeck.history.facts import Verdict
from queuedeck.history.tasks import TaskState
from queuedeck_agent import wire


class OpenTask(msgspec.Struct, frozen=True, kw_only=True):
    key: int
    engine: str
    source: str
    """Fingerprint of the source."""
    task_id: str
    name: str
    queue: str
    state: TaskState
    attempt: int
    """The one that decides the state: the next one, for a task that waits to be tried again."""
    starts: tuple[wire.StartSeen, ...]
    """Who began this attempt, each time that it was delivered; else who took it, if anybody did."""
    began: bool
    """Somebody began it. Else `starts` only took it."""
    since_us: int
    """When it began last; when it was due, for one that nobody began."""
    verdict: Verdict | None
    """What was concluded of it last, if it was asked about and has not begun again since."""
    checked_us: int
    """When that was; 0: never."""


class OpenTasks(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[OpenTask]
    looked_at: int
    """Rows that were read."""
    after: int
    """Goes on from here; 0: these were the last."""
