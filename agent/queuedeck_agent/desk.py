# SPDX-License-Identifier: Apache-2.0
"""Where a process writes: its lane, what waits for its turn, and whose turn it is.

One object, so that a child that finds one prepared takes it in a single step: in a fresh process
each attribute that is set costs a page of memory that has to be copied first.
"""

from collections import deque
from collections.abc import Callable

from queuedeck_agent.lane import Lane

Turn = list[int]
"""The thread that writes; empty while another one takes over."""
Waiting = tuple[bytes, int]
"""(record, its kind)."""
Append = Callable[[bytes], int]


class Desk:
    """Used by `Recorder`, which knows the rules."""

    __slots__ = ("append", "begun", "lane", "last", "lender", "turn", "waiting")

    def __init__(self, lane: Lane | None = None) -> None:
        self.lane = lane
        self.append: Append = asked_elsewhere
        """Into the lane's newest segment, as long as anything may be written there."""
        self.last = 0
        """The number of the newest record in the lane, or of an older one after an exception."""
        self.waiting: deque[Waiting] = deque()
        self.begun: tuple[Waiting, int, int] | None = None
        """(record, last number, drops) before an append that has not ended."""
        self.turn: dict[int, Turn] = {}
        self.lender: Desk | None = None
        """The desk of the process that lent this one: to free it would touch all that it has."""
        if lane is not None:
            self.last = lane.last
            self.look_at(lane)

    def look_at(self, lane: Lane) -> None:
        """The lane may have gone on to another segment."""
        self.append = lane.segment.append if lane.is_plain else asked_elsewhere


def asked_elsewhere(_: bytes) -> int:
    """No lane, or one that has to be asked for each record."""
    return 0
