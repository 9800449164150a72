# SPDX-License-Identifier: Apache-2.0
"""The link's side of a lane: reads behind the writer, without any lock of the writer's.

What the server has not acknowledged is read again after a reconnect; what it has is deleted.
"""

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import msgspec

from queuedeck_agent import loss, wire
from queuedeck_agent.segment import FRAMED, HEADER_BYTES, Damaged, Segment
from queuedeck_agent.store import Store

log = logging.getLogger("queuedeck_agent")

PATIENCE_S = 0.5
"""A record that a live writer has just committed may need a moment to be seen whole."""
LOOK_S = 1.0
"""How often we look for the successor of a segment that its writer did not say it has left."""
SHIPPED_S = 1
"""Time of change of the lock file of a lane from which something was sent. A time and no content,
since that needs no room: on a full disk, shipping is what makes room again."""

Quarantine = Callable[[str, int, bytes], None]


class LaneReader:
    """Reads one lane in order, as often as needed."""

    def __init__(self, lane_id: str, store: Store, lock: int, quarantine: Quarantine) -> None:
        self.id = lane_id
        self.store = store
        self.lost = 0
        """Records that this reader found to be lost, by `Loss` or by damage."""
        firsts = store.firsts()
        self.acked = firsts[0] - 1 if firsts else 0
        self.sent = self.acked
        self.lock = lock
        """The descriptor by which the lane is held; -1 for one in memory, and at the end."""
        self._was_shipped = lock >= 0 and int(os.fstat(lock).st_mtime) == SHIPPED_S
        """Somebody has sent records of this lane: noted in the lock file that shippers hold."""
        self._settled = not self._was_shipped
        """It is certain that the server has nothing beyond `sent`."""
        self._quarantine = quarantine
        self._segment: Segment | None = None
        self._place = 0
        self._left: deque[tuple[int, int]] = deque()
        """(first, last) of segments that were read to their end and wait for the ack."""
        self._doubt: tuple[int, float] = (0, 0.0)
        self._damage: dict[int, tuple[int, int, int]] = {}
        """First number of a segment -> (place, end, last number) of what cannot be read in it."""
        self._next_look = 0.0

    @property
    def drained(self) -> bool:
        """Whether everything that was written is acknowledged."""
        if self.acked < self.sent:
            return False
        segment = self._segment or self._open_at(self.sent + 1)
        return segment is None or (
            self._place >= segment.end and not self.store.has(segment.last + 1)
        )

    @property
    def newest(self) -> int:
        """The last number that the writer has used, as far as it can be read."""
        for first in reversed(self.store.firsts()):
            with contextlib.suppress(OSError, Damaged):
                segment = self.store.open(first)
                last = segment.last
                self.store.release(segment)
                return last
        return 0

    @property
    def backlog_bytes(self) -> int:
        """Bytes not sent yet in the segment that is being read; further segments not counted."""
        segment = self._segment
        return segment.end - self._place if segment is not None else 0

    def take(self, max_events: int, max_bytes: int) -> tuple[wire.LanePart, int] | None:
        """The next records as a part of a frame, with their size; None when there are none."""
        events: list[msgspec.Raw] = []
        size, sent = 0, self.sent
        while len(events) < max_events and (size < max_bytes or not events):
            segment = self._segment or self._open_at(sent + 1)
            if segment is None:
                break
            if segment.first > sent + 1:
                events.append(self._bridge(sent, segment.first - 1))
                sent = segment.first - 1
            if self._place >= segment.end:
                if not self._go_on(segment):
                    break
                continue
            found = self._next_run(segment, sent, max_events - len(events), max_bytes - size)
            if found is None:
                break
            run, sent, grown = found
            events += run
            size += grown
        if not events:
            return None
        self.sent = sent
        if not self._was_shipped and self.lock >= 0:
            os.utime(self.lock, (SHIPPED_S, SHIPPED_S))
        self._was_shipped = True
        return wire.LanePart(self.id, sent, events), size

    def ack(self, number: int) -> None:
        """The server has everything up to this number: deletes whole segments behind it."""
        self.acked = max(self.acked, number)
        while self._left and self._left[0][1] <= self.acked:
            first, _ = self._left.popleft()
            self._damage.pop(first, None)
            self.store.delete(first)

    def go_to(self, committed: int) -> None:
        """Goes on after the number that the server has, forwards or back."""
        self.acked = committed
        self._settled = True
        self.rewind()

    def rewind(self) -> None:
        """Sends again what was not acknowledged."""
        self.sent = self.acked
        self.unmap()
        self._left.clear()

    def close(self) -> None:
        """Lets another link ship the lane."""
        self.unmap()
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def thin(self) -> int:
        """Makes the oldest segment that was not sent at all smaller; returns the bytes won."""
        if not self._settled:
            return 0  # the server may have part of a segment, and a `Loss` would count it twice
        firsts = self.store.firsts()
        present = self._segment.first if self._segment is not None else 0
        for first in firsts[:-1]:
            if first <= max(self.sent, present):
                continue
            try:
                segment = self.store.open(first)
            except (OSError, Damaged):
                continue
            try:
                records = list(segment.records())
                kept = loss.thin(records)
                if len(kept) > len(records) * 3 // 4:
                    continue
                self.store.replace(first, kept)
                return segment.size
            except (OSError, Damaged):
                continue
            finally:
                self.store.release(segment)
        return 0

    def _open_at(self, number: int) -> Segment | None:
        """Opens the segment that holds the number, or the first one after it."""
        firsts = self.store.firsts()
        place = sum(first <= number for first in firsts)
        for done, after in pairwise(firsts[:place]):
            if after - 1 <= self.acked:
                self.store.delete(done)
        for first in firsts[max(0, place - 1) :]:
            try:
                self._segment = self.store.open(first)
            except OSError:
                return None
            except Damaged as error:
                self._set_aside(first, str(error))
                continue
            self._place = HEADER_BYTES
            return self._segment
        return None

    def _set_aside(self, first: int, why: str) -> None:
        """A segment whose header is damaged: what follows is bridged by a `Loss`."""
        log.warning("A segment of Queuedeck's spool is damaged (%s) and was set aside.", why)
        self.store.set_aside(first)

    def _go_on(self, segment: Segment) -> bool:
        """Moves to the segment after this one, if the writer has."""
        if not segment.is_left:
            now = time.monotonic()
            if now < self._next_look:
                return False
            self._next_look = now + LOOK_S
        if not self.store.has(segment.last + 1) or self._place < segment.end:
            return self._place < segment.end
        self._left.append((segment.first, segment.last))
        self.unmap()
        return self._open_at(self._left[-1][1] + 1) is not None

    def unmap(self) -> None:
        """Lets go of the segment that is being read."""
        segment, self._segment = self._segment, None
        if segment is not None:
            self.store.release(segment)

    def _next_run(
        self, segment: Segment, sent: int, most: int, room: int
    ) -> tuple[list[msgspec.Raw], int, int] | None:
        """(records, number of the last, their size) of one segment, with a `Loss` in the place of
        what cannot be read; None as long as its writer may not be done."""
        run, last, self._place, size = segment.read_run(self._place, sent, most, max(1, room))
        if run or self._place >= segment.end:
            return run, last, size
        found = self._read_damaged(segment, sent)
        if found is None:
            return None
        last, payload, self._place = found
        if last <= sent:
            return [], sent, 0
        return [msgspec.Raw(payload)], last, len(payload) + FRAMED

    def _read_damaged(self, segment: Segment, sent: int) -> tuple[int, bytes, int] | None:
        """(last number, `Loss` or what can be read by now, where to go on)."""
        known = self._damage.get(segment.first)
        if known is None or known[0] != self._place:
            try:
                return segment.read(self._place)
            except Damaged:
                if self._may_be_unfinished(segment):
                    return None
            known = self._note_damage(segment)
        _, end, last = known
        if last <= sent:
            return last, b"", end
        payload = wire.encode(self._loss(last - sent, "corrupt"))
        return last, payload, end

    def _may_be_unfinished(self, segment: Segment) -> bool:
        if self.store.has(segment.last + 1):
            return False
        place, since = self._doubt
        now = time.monotonic()
        if place != self._place:
            self._doubt = (self._place, now)
            return True
        return now - since < PATIENCE_S

    def _note_damage(self, segment: Segment) -> tuple[int, int, int]:
        end = min(max(segment.end, self._place), segment.size)
        self._quarantine(self.id, segment.first, segment.data[self._place : end])
        log.warning(
            "Queuedeck's spool is damaged in lane %s: what follows in that segment cannot be read. "
            "It was set aside and is counted as lost.",
            self.id,
        )
        known = self._damage[segment.first] = (self._place, segment.end, segment.last)
        return known

    def _bridge(self, sent: int, last: int) -> msgspec.Raw:
        """Stands for numbers that are not here: the server has lost its memory of them."""
        return msgspec.Raw(wire.encode(self._loss(last - sent, "not in the spool any more")))

    def _loss(self, count: int, reason: str) -> wire.Loss:
        self.lost += count
        return wire.Loss(time.time_ns() // 1_000, count, {"other": count}, reason)
