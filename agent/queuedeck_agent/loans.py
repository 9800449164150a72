# SPDX-License-Identifier: Apache-2.0
"""A lane for the children that a process forks one after the other, like RQ's work horses.

The parent opens it once, the child finds it open, and the next child goes on in it. A lane that
each child has to find for itself costs a fork-per-job worker a good part of its time.
"""

import os
from collections.abc import Callable
from threading import get_ident

from queuedeck_agent.lane import Lane


class Loans:
    """Used by the thread that forks; a child gets nothing but what that thread has offered."""

    def __init__(self) -> None:
        self._lane: Lane | None = None
        self._offered_by = 0
        """The thread whose next fork takes the lane along; 0 when there is no offer."""
        self._borrower = 0
        """The process that has it, or had it last."""

    def offer(self, take: Callable[[], Lane]) -> None:
        """Right before the fork. A lane whose borrower still lives stays with it, for good."""
        if self._lane is not None and self._borrower and _lives(self._borrower):
            self._give_up()
        try:
            if self._lane is not None:
                self._lane.catch_up()
        except OSError:
            self._give_up()
        if self._lane is None:
            self._lane = take()
        self._borrower, self._offered_by = 0, get_ident()

    def lent_to(self, child: int) -> None:
        """Right after the fork, in the parent: no other fork takes the lane along."""
        self._borrower, self._offered_by = child, 0

    def taken(self) -> Lane | None:
        """In the child: the lane, if this fork was the one that it was offered for."""
        lane, self._lane = self._lane, None
        if lane is not None and self._offered_by != get_ident():
            lane.abandon()
            lane = None
        self._borrower = self._offered_by = 0
        return lane

    def close(self) -> None:
        """Gives the lane back, unless somebody still writes there."""
        lane, self._lane = self._lane, None
        if lane is None:
            return
        if self._borrower and _lives(self._borrower):
            lane.abandon()
            return
        lane.catch_up()
        lane.close()

    def _give_up(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.abandon()


def _lives(process: int) -> bool:
    """Also true of another process that got the number since: then a lane is not used again."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
