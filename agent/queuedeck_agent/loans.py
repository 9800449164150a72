# SPDX-License-Identifier: Apache-2.0
"""A lane for the children that a process forks one after the other, like RQ's work horses.

The parent opens it once, the child finds it open, and the next child goes on in it. A lane that
each child has to find for itself costs a fork-per-job worker a good part of its time.
"""

import os
from collections.abc import Callable
from os import getppid
from threading import get_ident

from queuedeck_agent.desk import Desk
from queuedeck_agent.lane import Lane


class Loans:
    """Used by the thread that forks; a child gets nothing but what that thread has offered."""

    def __init__(self) -> None:
        self._lent: tuple[Lane, Desk] | None = None
        """The lane, and its desk as the next borrower is to find it."""
        self._lender = 0
        """The process that made the newest offer."""
        self._offered_by = 0
        """The thread whose next fork takes the lane along; 0 when there is no offer."""
        self._borrower = 0
        """The process that has it, or had it last."""

    @property
    def has_lent(self) -> bool:
        """Whether there is a lane to be lent."""
        return self._lent is not None

    @property
    def is_offered(self) -> bool:
        """Right before a fork: whether it takes the lane along."""
        is_mine = self._lent is not None and self._offered_by == get_ident()
        return is_mine and os.getpid() == self._lender

    def offer(self, take: Callable[[], Lane], own: Desk) -> None:
        """Right before the fork. A lane whose borrower still lives stays with it, for good."""
        if self._lent is not None and self._borrower and _lives(self._borrower):
            self._give_up()
        try:
            if self._lent is not None:
                lane, desk = self._lent
                lane.catch_up()
                desk.look_at(lane)
        except OSError:
            self._give_up()
        if self._lent is None:
            lane = take()
            self._lent = lane, Desk(lane)
        self._lent[1].lender = own
        self._lender, self._borrower, self._offered_by = os.getpid(), 0, get_ident()

    def lent_to(self, child: int) -> None:
        """Right after the fork, in the parent: no other fork takes the lane along."""
        self._borrower, self._offered_by = child, 0

    def taken(self) -> Desk | None:
        """In the child: where it writes, if this fork was the one that the lane was offered for."""
        lent = self._lent
        # A child of that child may find the same offer, but its parent is not the lender.
        if lent is not None and self._offered_by == get_ident() and getppid() == self._lender:
            self._lent = None
            return lent[1]
        self._give_up()
        return None

    def close(self) -> None:
        """Gives the lane back, unless somebody still writes there."""
        lent, self._lent = self._lent, None
        if lent is None:
            return
        lane, _ = lent
        if self._borrower and _lives(self._borrower):
            lane.abandon()
            return
        lane.catch_up()
        lane.close()

    def _give_up(self) -> None:
        lent, self._lent = self._lent, None
        if lent is not None:
            lent[0].abandon()


def _lives(process: int) -> bool:
    """Also true of another process that got the number since: then a lane is not used again."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
