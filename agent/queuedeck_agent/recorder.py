# SPDX-License-Identifier: Apache-2.0
"""`Recorder.emit`: from any thread of the host, in microseconds, into this process's lane.

No lock is ever waited for. A thread that finds another one writing leaves its record to it; a turn
that was left behind, because the host raised an exception between two instructions of ours, is
recognised by the stack of the thread that took it, and taken over.
"""

import sys
from collections import deque
from collections.abc import Callable
from os import getpid
from threading import get_ident
from types import FrameType

from queuedeck_agent import forks, wire
from queuedeck_agent.desk import Desk, Turn, Waiting, asked_elsewhere
from queuedeck_agent.extras import TRACER, Extras
from queuedeck_agent.guard import absorbed, contained
from queuedeck_agent.lane import Lane
from queuedeck_agent.loans import Loans
from queuedeck_agent.loss import KIND_OF, OTHER
from queuedeck_agent.spool import Spool

_encode = wire.encode
_modules = sys.modules
_EMIT = f"{__name__}.Recorder.emit"

MOST_WAITING = 10_000
"""So many records unwritten means that nobody writes."""


class Recorder:
    """Where all events of this process go."""

    def __init__(self, spool: Spool, on_private_memory: Callable[[], None] | None = None) -> None:
        self.spool = spool
        self.hook_us: deque[int] = deque(maxlen=500)
        """Durations of hooks, as adapters sample them."""
        self._on_private_memory = on_private_memory
        self.extras = Extras(self.emit_extra)
        self._sources: dict[str, bytes] = {}
        self._pid = getpid()
        self._mark = forks.new_mark()
        self._desk = Desk()
        self._loans = Loans()
        self.lent_to = self._loans.lent_to
        """Right after a fork that was prepared by `lend`, in the parent."""

    def emit(self, event: wire.Event) -> None:
        """Records one event. Whole or not at all, whatever is raised into it.

        Long, because each further function costs as much again between two tasks, where no cache
        holds its code.
        """
        try:
            if self.extras.open or TRACER in _modules:
                self.extras.before(event)
            payload = _encode(event)
            if not self._mark[0]:
                self.abandon()  # a fork in C, which runs no hooks of Python, or one for one task
            desk = self._desk
            number = 0
            turn = [get_ident()]
            if desk.turn.setdefault(0, turn) is turn:
                try:
                    if not desk.waiting:
                        number = desk.append(payload)
                        desk.last = number or desk.last
                except BaseException:
                    _keep(desk, (payload, KIND_OF.get(type(event), OTHER)))
                    raise
                finally:
                    desk.turn.clear()
            if not number:
                desk.waiting.append((payload, KIND_OF.get(type(event), OTHER)))
            if desk.waiting:
                self._write_waiting()
        except Exception as error:
            if not absorbed(error, _EMIT):
                raise

    def emit_extra(self, event: wire.Event) -> None:
        """The same for what a task says beside its states, which waits its turn with the rest."""
        try:
            payload = _encode(event)
            if not self._mark[0]:
                self.abandon()
            self._desk.waiting.append((payload, KIND_OF.get(type(event), OTHER)))
            self._write_waiting()
        except Exception as error:
            if not absorbed(error, _EMIT):
                raise

    @contained
    def declare_source(self, source: wire.SourceSeen) -> None:
        """Names a source once, before its first event: in each lane that this process takes."""
        if source.source not in self._sources:
            self._sources[source.source] = wire.encode(source)
            if self._desk.lane is not None:
                self.emit(source)

    def lend(self) -> None:
        """Right before a fork, in the thread that forks: the child finds a lane open and ready."""
        if self.spool.shared:
            self._loans.offer(self._open_lane, self._desk)

    @property
    def has_lent(self) -> bool:
        """Whether children are forked for one task each."""
        return self._loans.has_lent

    @property
    def lends(self) -> bool:
        """Right before a fork: whether this thread has prepared it by `lend`."""
        return self._loans.is_offered

    def pid(self) -> int:
        """The id of this process, without a system call for each event."""
        if not self._mark[0]:
            self.abandon()
        return self._pid

    @property
    def dropped(self) -> int:
        """Events of this process that found no room."""
        lane = self._desk.lane
        return lane.dropped if lane is not None else 0

    def close(self) -> None:
        """Gives the lane back. A later event takes one again."""
        if not self._mark[0]:
            self.abandon()
        desk = self._desk
        desk.append = asked_elsewhere
        lane, desk.lane = desk.lane, None
        if lane is not None:
            lane.close()
        self._loans.close()

    def abandon(self) -> None:
        """In a forked child: the lane, and what still waits, are the parent's.

        A child for one task comes here with the first that it tells. It keeps what it has of the
        parent's, which it will not have for long: letting go would cost more.
        """
        own = self._desk.lane
        lent = self._loans.taken()
        self._desk = lent or Desk()
        self._pid = getpid()
        self._mark[0] = 1
        if lent is not None:
            return
        if self.extras.is_used:
            self.extras.forget()
        if self.spool.folder is None:
            self.spool.forget_memory()
        if own is not None:
            own.abandon()

    def _write_waiting(self) -> None:
        desk = self._desk
        waiting = desk.waiting
        while waiting:
            turn = [get_ident()]
            holder = desk.turn.setdefault(0, turn)
            if holder is not turn:
                if not _took_over(desk, holder):
                    return  # who holds the turn looks at what waits once more before it ends
                continue
            try:
                desk.append = asked_elsewhere
                lane = desk.lane or self._take_lane(desk)
                while waiting:
                    record = waiting[0]
                    if desk.begun is None or not _was_written(desk, lane, record):
                        desk.begun = (record, desk.last, lane.dropped)
                        append = lane.append if record[1] <= OTHER else lane.append_extra
                        desk.last = append(record[0], record[1]) or lane.last
                    waiting.popleft()
                    desk.begun = None
                desk.look_at(lane)
            finally:
                desk.turn.clear()

    def _open_lane(self) -> Lane:
        lane = self.spool.take_lane()
        for payload in self._sources.values():
            lane.append(payload, 0)
        return lane

    def _take_lane(self, desk: Desk) -> Lane:
        lane = self._open_lane()
        desk.last, desk.lane = lane.last, lane
        if not self.spool.shared and self._on_private_memory is not None:
            self._on_private_memory()
        return lane


def _keep(desk: Desk, record: Waiting) -> None:
    """A record whose append was interrupted is written with the next one, if it was not."""
    lane, known = desk.lane, desk.last
    if lane is not None:
        desk.last = lane.last
        if desk.last != known and lane.ends_with(record[0]):
            return
    desk.waiting.append(record)


def _was_written(desk: Desk, lane: Lane, record: Waiting) -> bool:
    """Whether the append of this record, which the host interrupted, had come to its end."""
    if desk.begun is None or desk.begun[0] is not record:
        return False
    _, last, dropped = desk.begun
    desk.last = lane.last
    return lane.dropped != dropped or (desk.last != last and lane.ends_with(record[0]))


def _took_over(desk: Desk, holder: Turn) -> bool:
    """Ends a turn that was left behind; only one thread succeeds."""
    if len(desk.waiting) > MOST_WAITING:
        desk.turn = {}
        return True
    try:
        if _is_writing(holder[0]):
            return False
        holder.pop()
    except IndexError:
        return False
    desk.turn.clear()
    return True


def _is_writing(thread: int) -> bool:
    """Whether a thread is, or may be, inside the code that takes and gives back the turn."""
    if thread == get_ident():
        emit = sys._getframe(3)  # pyright: ignore[reportPrivateUsage]
        return _is_inside(emit.f_back)
    frames = sys._current_frames  # pyright: ignore[reportPrivateUsage]
    frame = frames().get(thread)
    # Frames lose their callers when they return, so a walk only proves something if the thread
    # still stands where it stood before.
    return _is_inside(frame) or frames().get(thread) is not frame


def _is_inside(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _TAKES_A_TURN:
            return True
        frame = frame.f_back
    return False


_TAKES_A_TURN = (Recorder.emit.__code__, Recorder.emit_extra.__code__)
