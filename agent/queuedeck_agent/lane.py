# SPDX-License-Identifier: Apache-2.0
"""The writer's side of a lane: numbered records in segments that grow, and losses counted.

A lane has one writer at a time (it holds the lane's `flock`) and passes from process to process.
"""

import contextlib
import os
import time
from collections.abc import Callable

import msgspec

from queuedeck_agent import loss, wire
from queuedeck_agent.segment import HEADER_BYTES, Damaged, Segment, room_of
from queuedeck_agent.store import Store

FIRST_SEGMENT_BYTES = 64 << 10
"""Small, because every pool child has one; each further segment is four times as large."""
LARGEST_SEGMENT_BYTES = 4 << 20
LOSS_ROOM_BYTES = 2 << 10
"""Kept free at the end of each segment, so that its losses can always be told."""
LARGEST_RECORD_BYTES = 128 << 10
LOOK_AGAIN_S = 0.25
"""How long a full spool is taken to be full, before anyone measures it again."""

Room = Callable[[], tuple[int, int, int]]
"""By how many bytes the spool may grow: for anything but extras, for what is dropped last, and for
extras."""


class Lane:
    """What a process appends to. Not thread-safe: the recorder sees to that."""

    def __init__(self, lane_id: str, store: Store, lock: int, room: Room) -> None:
        self.id = lane_id
        self.store = store
        self.dropped = 0
        """Records dropped since this process took the lane."""
        self._lock = lock
        self._room = room
        self._full_until = [0.0, 0.0]
        """Until when there is no room: for anything, and for what is dropped last."""
        self._measure_at = 0.0
        self._extras_at = 0.0
        """When the room for extras is measured next."""
        self._takes_extras = True
        self.is_plain = True
        """Anything may be written in `segment`; else it is reserved for what is dropped last."""
        self._leaving: Segment | None = None
        """The segment whose successor is being made: nothing more is written into it."""
        self.segment = self._resume()

    @property
    def last(self) -> int:
        """The number of the newest record."""
        return self.segment.last

    def append(self, payload: bytes, kind: int) -> int:
        """Writes one record and returns its number, or drops and counts it and returns 0. Raises
        nothing of its own."""
        return (self.is_plain and self.segment.append(payload)) or self._append_elsewhere(
            payload, kind
        )

    def append_extra(self, payload: bytes, kind: int) -> int:
        """The same for what must not take room from states: none is left when the spool is half
        full."""
        now = time.monotonic()
        if now >= self._extras_at:
            self._extras_at = now + LOOK_AGAIN_S
            self._takes_extras = self._room()[2] > 0
        return self.append(payload, kind) if self._takes_extras else self._drop(kind)

    def ends_with(self, payload: bytes) -> bool:
        """Whether this is the newest record: asked when an append was interrupted."""
        newest = b""
        with contextlib.suppress(Damaged):
            for _, record in self.segment.records():
                newest = record
        return newest == payload

    def close(self) -> None:
        """Gives the lane back: another process may take it. Closing the lock is what frees it."""
        self.tell_losses()
        self.abandon()

    def abandon(self) -> None:
        """Drops our hold only. In a forked child the parent's lock stays as it is."""
        self.store.release(self.segment)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def catch_up(self) -> None:
        """Goes on where the process that had the lane meanwhile has left it. Raises `OSError`
        where the lane is gone."""
        if os.fstat(self._lock).st_nlink == 0:
            raise FileNotFoundError(self.id)
        if self.segment.is_left or self.store.has(self.segment.last + 1):
            self.store.release(self.segment)
            self.segment = self._resume()
        self.is_plain, self._leaving = True, None

    def _resume(self) -> Segment:
        firsts = self.store.firsts()
        if not firsts:
            return self._allotted(self.store.create(FIRST_SEGMENT_BYTES, lambda: 1))
        segment = self.store.open(firsts[-1], writable=True)
        if not HEADER_BYTES <= segment.end <= segment.size:
            raise Damaged("the commit word is out of bounds")
        return self._allotted(segment)

    def _allotted(self, segment: Segment) -> Segment:
        segment.limit = segment.size - LOSS_ROOM_BYTES
        return segment

    def _append_elsewhere(self, payload: bytes, kind: int) -> int:
        if len(payload) > LARGEST_RECORD_BYTES:
            return self._drop(kind)
        urgent = not loss.is_dropped_first(kind)
        stays = self._leaving is not self.segment
        if stays and (urgent or not self._is_tight()):
            number = self.segment.append(payload)
            if number:
                return number
        number = self.segment.append(payload) if self._rotate(len(payload), urgent) else 0
        return number or self._drop(kind)

    def _is_tight(self) -> bool:
        """Whether the segment is reserved for failures. Measured again now and then."""
        now = time.monotonic()
        if not self.is_plain and now >= self._measure_at:
            self._measure_at = now + LOOK_AGAIN_S
            self.is_plain = self._room()[0] >= self.segment.size
        return not self.is_plain

    def _drop(self, kind: int) -> int:
        self.segment.count_dropped(kind)
        self.dropped += 1
        return 0

    def _rotate(self, payload_bytes: int, urgent: bool) -> bool:
        """Goes on to a new segment; False when the spool may not or cannot grow."""
        now = time.monotonic()
        if now < self._full_until[urgent]:
            return False
        need = HEADER_BYTES + room_of(payload_bytes) + LOSS_ROOM_BYTES
        relaxed, urgently, _ = self._room()
        free = relaxed if relaxed >= need or not urgent else urgently
        self._leaving, self.is_plain = self.segment, False
        segment = self._next_segment(need, free)
        if segment is None:
            self._full_until[0] = now + LOOK_AGAIN_S
            self._full_until[urgent] = now + LOOK_AGAIN_S
            self._leaving = None
            return False
        left = self.segment
        left.leave()  # before anything is written into the next one, which may be gone before long
        self.segment = self._allotted(segment)
        self.is_plain, self._leaving = relaxed >= need, None
        self.store.release(left)
        return True

    def _next_segment(self, need: int, free: int) -> Segment | None:
        """A larger segment if it may be, a smaller one if it must be, None without room."""
        newest = self.store.firsts()[-1:]
        if newest and newest[0] > self.segment.first:
            return self._half_made(newest[0])
        size = min(max(self.segment.size * 4, FIRST_SEGMENT_BYTES), LARGEST_SEGMENT_BYTES)
        size = max(min(size, free), need)
        while need <= size <= free:
            with contextlib.suppress(OSError):
                return self.store.create(size, self._first_of_next)
            size = size // 4 if size // 4 >= need or size == need else need
        return None

    def _first_of_next(self) -> int:
        """Asked when the room for it is certain: only now the losses are told here."""
        self.tell_losses()
        return self.segment.last + 1

    def _half_made(self, first: int) -> Segment:
        """The segment of a rotation that the host interrupted; it carries what was not told."""
        segment = self.store.open(first, writable=True)
        for kind, count in enumerate(_untold(self.segment)):
            segment.count_dropped(kind, count)
        return segment

    def tell_losses(self) -> None:
        """Writes a `Loss` for what was dropped and not told yet; counts survive the process."""
        untold = _untold(self.segment)
        if any(untold):
            payload = wire.encode(loss.loss_of(untold, "spool full"))
            self.segment.append(payload, sum(untold), LOSS_ROOM_BYTES)


def _untold(segment: Segment) -> list[int]:
    counted = segment.dropped()[: len(loss.KINDS)]
    if not any(counted):
        return counted
    with contextlib.suppress(Damaged):
        for _, payload in segment.records():
            for kind, count in enumerate(_told_by(payload)):
                counted[kind] -= count
    return [max(0, count) for count in counted]


def _told_by(payload: bytes) -> list[int]:
    try:
        event = wire.decode_event(payload)
    except msgspec.DecodeError:
        return []
    if isinstance(event, wire.Loss) and event.reason == "spool full":
        return loss.counts_in(event)
    return []
