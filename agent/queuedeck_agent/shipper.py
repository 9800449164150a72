# SPDX-License-Identifier: Apache-2.0
"""Which lanes a link ships, what goes into the next frame, and what the server has. No network.

A link claims the lanes of its own family at once and, while a server takes what it sends, any other
lane of the same spool once nobody has claimed it for a while: those of processes that died, or that
have no link of their own. One that is refused, for example with a revoked key, leaves them to
others.
"""

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from queuedeck_agent import system, wire
from queuedeck_agent.reader import LaneReader
from queuedeck_agent.spool import Spool

log = logging.getLogger("queuedeck_agent")

FRAME_BYTES = 256 << 10
GRACE_S = 2.0
"""How long a lane of another family must be unclaimed before we ship it."""
IDLE_LANE_S = 600.0
THIN_ABOVE = 0.75
QUARANTINE_FILES = 16
QUARANTINE_BYTES = 64 << 10


class Nonsense(Exception):
    """The server said something that cannot be true."""


class Shipper:
    """The lanes that this link ships. Used by the link's thread alone."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.readers: dict[str, LaneReader] = {}
        self._unclaimed: dict[str, float] = {}
        self._idle: dict[str, float] = {}
        self._in_flight: deque[tuple[int, list[tuple[str, int]]]] = deque()
        self._turn = 0
        self._adopts = False
        """Lanes of other families are claimed, too."""
        self._stamp = -1
        self.in_flight_bytes = 0
        self.behind = True
        """More may wait than was sent: the newest frame was full, or there was no room for one."""
        self.shipped = 0
        """Records put into frames."""

    @property
    def lanes(self) -> tuple[tuple[str, int], ...]:
        """(lane, first number that is not acknowledged), for the hello."""
        return tuple((lane, reader.acked + 1) for lane, reader in self.readers.items())

    @property
    def lost(self) -> int:
        """Records found lost while reading."""
        return sum(reader.lost for reader in self.readers.values())

    @property
    def drained(self) -> bool:
        """Whether the server has everything."""
        return not self._in_flight and all(reader.drained for reader in self.readers.values())

    def backlog_bytes(self) -> int:
        """About how much waits: bytes in flight and not yet read."""
        waiting = sum(reader.backlog_bytes for reader in self.readers.values())
        return self.in_flight_bytes + waiting

    def claim_new_lanes(self) -> None:
        """Looks for lanes only if some came or went: cheap enough for every tick."""
        stamp = self._spool.lanes_stamp()
        if stamp != self._stamp:
            self.claim_lanes()

    def claim_lanes(self) -> None:
        """Looks for lanes to ship, and for lanes that nobody needs any more."""
        now = time.monotonic()
        self._stamp = self._spool.lanes_stamp()
        present = self._spool.lane_ids()
        for lane in present:
            if lane not in self.readers and self._is_ours(lane, now):
                self._claim(lane)
        self._unclaimed = {k: since for k, since in self._unclaimed.items() if k in present}
        self._drop_idle_lanes(now)

    def next_frame(self, max_bytes: int) -> bytes | None:
        """The next frame, at most so large, or None when nothing waits or there is no room."""
        left, room = wire.MAX_FRAME_EVENTS, min(FRAME_BYTES, max_bytes)
        if room <= 0:
            self.behind = True
            return None
        parts: list[wire.LanePart] = []
        size = 0
        readers = list(self.readers.values())
        self._turn += 1
        for place in range(len(readers)):
            if left <= 0 or size >= room:
                break
            found = readers[(self._turn + place) % len(readers)].take(left, room - size)
            if found is not None:
                parts.append(found[0])
                left -= len(found[0].events)
                size += found[1]
        self.behind = left <= 0 or size >= room
        if not parts:
            return None
        frame = wire.encode(wire.Frame(parts))
        self._in_flight.append((len(frame), [(part.lane, part.last) for part in parts]))
        self.in_flight_bytes += len(frame)
        self.shipped += wire.MAX_FRAME_EVENTS - left
        return frame

    def acknowledged(self, committed: Mapping[str, int]) -> None:
        """Forgets what the server has committed; raises `Nonsense` for what was never sent."""
        for lane, number in committed.items():
            reader = self.readers.get(lane)
            if reader is None:
                continue
            if number > reader.sent:
                raise Nonsense(f"it acknowledged {number} where {reader.sent} was the last sent")
            reader.ack(number)
        while self._in_flight and self._is_through(self._in_flight[0][1]):
            self.in_flight_bytes -= self._in_flight.popleft()[0]

    def send_again(self, expected: Mapping[str, int]) -> None:
        """The server lacks something: goes back to what it has."""
        for lane, number in expected.items():
            reader = self.readers.get(lane)
            if reader is None:
                continue
            if number > reader.sent:
                raise Nonsense(f"it expects {number} where {reader.sent} was the last sent")
            reader.go_to(number)

    def begin(self, committed: Mapping[str, int]) -> None:
        """A new connection: nothing is in flight, each lane goes on after what the server has."""
        self._adopts = True
        self._in_flight.clear()
        self.in_flight_bytes = 0
        for lane, reader in self.readers.items():
            number = committed.get(lane)
            if number is None:
                reader.rewind()
                continue
            if number > reader.newest and self._spool.is_of_this_boot(lane):
                raise Nonsense(f"it has {number} of a lane that ends with {reader.newest}")
            reader.go_to(number)

    def end(self) -> None:
        """The connection is over: another link may be able to ship what is not our family's."""
        self._adopts, self.behind = False, True
        for lane, reader in list(self.readers.items()):
            if self._spool.family_of(lane) != self._spool.family:
                reader.close()
                del self.readers[lane]

    def make_room(self) -> None:
        """Thins what waits when the spool is nearly full: finished successes go first."""
        if not self.behind:
            return  # all was sent, and thinning leaves alone what was
        if self._spool.used_bytes() < self._spool.limit * THIN_ABOVE:
            return
        for reader in self.readers.values():
            if reader.thin():
                return

    def close(self) -> None:
        """Lets other links claim the lanes."""
        for reader in self.readers.values():
            reader.close()
        self.readers.clear()

    def unmap(self) -> None:
        """In a forked child that stays: it would keep the room of files that were deleted."""
        for reader in self.readers.values():
            reader.unmap()

    def _is_through(self, parts: list[tuple[str, int]]) -> bool:
        for lane, last in parts:
            reader = self.readers.get(lane)
            if reader is not None and reader.acked < last:
                return False
        return True

    def _is_ours(self, lane: str, now: float) -> bool:
        family = self._spool.family_of(lane)
        if family == self._spool.family:
            return True
        if not family:
            self._stamp = -1  # just being made: look again at the next tick
        return self._adopts and now - self._unclaimed.setdefault(lane, now) >= GRACE_S

    def _claim(self, lane: str) -> None:
        folder = self._spool.lanes_folder
        lock = -1
        if folder is not None:
            try:
                lock = system.try_lock(folder / lane / "ship", create=True)
            except OSError:
                return
            if lock < 0:
                self._unclaimed.pop(lane, None)
                return
        store = self._spool.store_of(lane)
        self.readers[lane] = LaneReader(lane, store, lock, self._quarantine)

    def _drop_idle_lanes(self, now: float) -> None:
        for lane, reader in list(self.readers.items()):
            if not reader.drained:
                self._idle.pop(lane, None)
            elif now - self._idle.setdefault(lane, now) >= IDLE_LANE_S:
                if self._spool.remove_lane(lane):
                    reader.close()
                    del self.readers[lane]
                self._idle.pop(lane, None)

    def _quarantine(self, lane: str, first: int, data: bytes) -> None:
        if self._spool.folder is None:
            return
        folder = self._spool.folder / "quarantine"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if len(os.listdir(folder)) >= QUARANTINE_FILES:  # noqa: PTH208 - names only
                return
            _write_private(folder / f"{lane}-{first}.bin", data[:QUARANTINE_BYTES])


def _write_private(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
