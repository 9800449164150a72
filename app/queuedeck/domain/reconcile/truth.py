# SPDX-License-Identifier: AGPL-3.0-only
"""How reconciling goes in each project: what was asked, and what was concluded. In memory, since
the server started; what was concluded of a task stands with the task.
"""

from collections import Counter

import msgspec

from queuedeck.clock import DAY_US
from queuedeck.history.facts import Verdict

MOST_TASKS = 20_000


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Of one project."""

    ran_us: int
    """When open tasks were last looked at; 0: not yet."""
    every_s: float
    """How often that is done; 0: never."""
    looked_at: int
    """Open tasks that were looked at the last time."""
    suspicious: int
    """Of these: that seemed stuck."""
    unanswerable: int
    """Of these: for which no agent is connected that could be asked."""
    confirmed: int
    """Tasks of the last day, by the newest answer: that wait or run, as their engine says."""
    ended: int
    """That have ended, as their engine says; no agent had reported it."""
    lost: int
    unknown: int
    """That the engine did not tell, or of which nothing can be concluded."""


class Truths:
    """Of all projects. Use on the event loop only."""

    def __init__(self) -> None:
        self._ran: dict[int, tuple[int, int, int, int]] = {}
        self._tasks: dict[int, dict[int, tuple[int, Verdict]]] = {}

    def note_sweep(
        self, project_id: int, now_us: int, looked_at: int, suspicious: int, unanswerable: int
    ) -> None:
        self._ran[project_id] = now_us, looked_at, suspicious, unanswerable

    def note(self, project_id: int, key: int, verdict: Verdict, now_us: int) -> None:
        """The newest of each task counts."""
        known = self._tasks.setdefault(project_id, {})
        known.pop(key, None)
        known[key] = now_us, verdict
        while len(known) > MOST_TASKS or next(iter(known.values()))[0] < now_us - DAY_US:
            del known[next(iter(known))]

    def of(self, project_id: int, now_us: int, every_s: float) -> Truth:
        ran_us, looked_at, suspicious, unanswerable = self._ran.get(project_id, (0, 0, 0, 0))
        counts = Counter(
            verdict
            for at_us, verdict in self._tasks.get(project_id, {}).values()
            if at_us >= now_us - DAY_US
        )
        return Truth(
            ran_us=ran_us,
            every_s=every_s,
            looked_at=looked_at,
            suspicious=suspicious,
            unanswerable=unanswerable,
            confirmed=counts[Verdict.WAITING] + counts[Verdict.RUNNING],
            ended=counts[Verdict.SUCCEEDED] + counts[Verdict.FAILED] + counts[Verdict.CANCELLED],
            lost=counts[Verdict.LOST],
            unknown=counts[Verdict.UNKNOWN],
        )
