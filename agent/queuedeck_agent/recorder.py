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

Turn = list[int]
"""The thread that writes; empty while another one takes over."""
Waiting = tuple[bytes, int]
Append = Callable[[bytes], int]


def _not_here(_: bytes) -> int:
    """No lane, or one that has to be asked for each record."""
    return 0


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
        self._lane: Lane | None = None
        self._append: Append = _not_here
        """Into the lane's newest segment, as long as anything may be written there."""
        self._last = 0
        """The number of the newest record in the lane, or of an older one after an exception."""
        self._loans = Loans()
        self._waiting: deque[Waiting] = deque()
        self._begun: tuple[Waiting, int, int] | None = None
        """(record, last number, drops) before an append that has not ended."""
        self._turn: dict[int, Turn] = {}

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
                self.abandon()  # a fork in C, which runs no hooks of Python
            number = 0
            turn = [get_ident()]
            if self._turn.setdefault(0, turn) is turn:
                try:
                    if not self._waiting:
                        number = self._append(payload)
                        self._last = number or self._last
                except BaseException:
                    self._keep((payload, KIND_OF.get(type(event), OTHER)))
                    raise
                finally:
                    self._turn.clear()
            if not number:
                self._waiting.append((payload, KIND_OF.get(type(event), OTHER)))
            if self._waiting:
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
            self._waiting.append((payload, KIND_OF.get(type(event), OTHER)))
            self._write_waiting()
        except Exception as error:
            if not absorbed(error, _EMIT):
                raise

    @contained
    def declare_source(self, source: wire.SourceSeen) -> None:
        """Names a source once, before its first event: in each lane that this process takes."""
        if source.source not in self._sources:
            self._sources[source.source] = wire.encode(source)
            if self._lane is not None:
                self.emit(source)

    @contained
    def lend(self) -> None:
        """Right before a fork, in the thread that forks: the child finds a lane open and ready."""
        if self.spool.shared:
            self._loans.offer(self._open_lane)

    @contained
    def lent_to(self, child: int) -> None:
        """Right after that fork, in the parent."""
        self._loans.lent_to(child)

    def pid(self) -> int:
        """The id of this process, without a system call for each event."""
        if not self._mark[0]:
            self.abandon()
        return self._pid

    @property
    def dropped(self) -> int:
        """Events of this process that found no room."""
        return self._lane.dropped if self._lane is not None else 0

    def close(self) -> None:
        """Gives the lane back. A later event takes one again."""
        self._append = _not_here
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()
        self._loans.close()

    def abandon(self) -> bool:
        """In a forked child: the lane, and what still waits, are the parent's. True if a lane was
        lent to this child: then it is one of many, and gone before the next one comes."""
        own = self._lane
        lane = self._lane = self._loans.taken()
        self._append = lane.segment.append if lane is not None and lane.is_plain else _not_here
        self._last, self._begun = 0, None
        self._pid = getpid()
        self._mark[0] = 1
        self._waiting, self._turn = deque(), {}
        if self.extras.is_used:
            self.extras.forget()
        if self.spool.folder is None:
            self.spool.forget_memory()
        if own is not None:
            own.abandon()
        return lane is not None

    def _write_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            turn = [get_ident()]
            holder = self._turn.setdefault(0, turn)
            if holder is not turn:
                if not self._took_over(holder):
                    return  # who holds the turn looks at what waits once more before it ends
                continue
            try:
                self._append = _not_here
                lane = self._lane or self._take_lane()
                while waiting:
                    record = waiting[0]
                    if self._begun is None or not self._was_written(lane, record):
                        self._begun = (record, self._last, lane.dropped)
                        append = lane.append if record[1] <= OTHER else lane.append_extra
                        self._last = append(record[0], record[1]) or lane.last
                    waiting.popleft()
                    self._begun = None
                self._append = lane.segment.append if lane.is_plain else _not_here
            finally:
                self._turn.clear()

    def _keep(self, record: Waiting) -> None:
        """A record whose append was interrupted is written with the next one, if it was not."""
        lane, known = self._lane, self._last
        if lane is not None:
            self._last = lane.last
            if self._last != known and lane.ends_with(record[0]):
                return
        self._waiting.append(record)

    def _was_written(self, lane: Lane, record: Waiting) -> bool:
        """Whether the append of this record, which the host interrupted, had come to its end."""
        if self._begun is None or self._begun[0] is not record:
            return False
        _, last, dropped = self._begun
        self._last = lane.last
        return lane.dropped != dropped or (self._last != last and lane.ends_with(record[0]))

    def _open_lane(self) -> Lane:
        lane = self.spool.take_lane()
        for payload in self._sources.values():
            lane.append(payload, 0)
        return lane

    def _take_lane(self) -> Lane:
        lane = self._open_lane()
        self._last, self._lane = lane.last, lane
        if not self.spool.shared and self._on_private_memory is not None:
            self._on_private_memory()
        return lane

    def _took_over(self, holder: Turn) -> bool:
        """Ends a turn that was left behind; only one thread succeeds."""
        if len(self._waiting) > MOST_WAITING:
            self._turn = {}
            return True
        try:
            if _is_writing(holder[0]):
                return False
            holder.pop()
        except IndexError:
            return False
        self._turn.clear()
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
