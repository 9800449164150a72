# SPDX-License-Identifier: AGPL-3.0-only
"""Recording: every thread's events, whatever the host raises into the hook, and over forks."""

import ctypes
import gc
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.support.agent_events import SOURCE, started

from queuedeck_agent import forks, guard, lane, wire
from queuedeck_agent.extras import TRACER
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.spool import Spool
from queuedeck_agent.store import Store

FAMILY = "f" * 32


class HostTimeout(Exception):
    """What an engine raises into a task."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    (tmp_path / "lanes").mkdir()
    return Spool(FAMILY, tmp_path, 64 << 20)


@pytest.fixture
def recorder(spool: Spool) -> Iterator[Recorder]:
    recorder = Recorder(spool)
    yield recorder
    recorder.close()


def _harvest(spool: Spool) -> list[str]:
    """What is in segments that were left, which are deleted as the link would."""
    found: list[str] = []
    for lane_id in spool.lane_ids():
        store = spool.store_of(lane_id)
        for first in store.firsts()[:-1]:
            found += _names(store, first)
            store.delete(first)
    return found


def _recorded(spool: Spool) -> list[str]:
    found: list[str] = []
    for lane_id in spool.lane_ids():
        store = spool.store_of(lane_id)
        for first in store.firsts():
            found += _names(store, first)
    return found


def _names(store: Store, first: int) -> list[str]:
    segment = store.open(first)
    records = list(segment.records())
    segment.close()
    assert [number for number, _ in records] == list(range(first, first + len(records)))
    events = [wire.decode_event(payload) for _, payload in records]
    return [event.task_id for event in events if isinstance(event, wire.TaskStarted)]


def test_events_are_numbered_and_whole(spool: Spool, recorder: Recorder) -> None:
    for number in range(5_000):
        recorder.emit(started(str(number)))
    assert _recorded(spool) == [str(number) for number in range(5_000)]


def test_source_is_declared_in_each_lane_before_its_events(
    spool: Spool, recorder: Recorder
) -> None:
    recorder.declare_source(wire.SourceSeen(1, SOURCE, "celery", "redis://localhost"))
    recorder.declare_source(wire.SourceSeen(2, SOURCE, "celery", "redis://localhost"))
    recorder.emit(started("1"))
    (lane_id,) = spool.lane_ids()
    (first,) = spool.store_of(lane_id).firsts()
    segment = spool.store_of(lane_id).open(first)
    kinds = [type(wire.decode_event(payload)) for _, payload in segment.records()]
    segment.close()
    assert kinds == [wire.SourceSeen, wire.TaskStarted]


def test_threads_lose_and_repeat_nothing(spool: Spool, recorder: Recorder) -> None:
    before = sys.getswitchinterval()
    # Each switch could collect, and that walks all that the whole run has in memory.
    gc.disable()
    sys.setswitchinterval(1e-6)

    def work(name: int) -> None:
        for number in range(1_000):
            recorder.emit(started(f"{name}-{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    gc.enable()
    assert sorted(_recorded(spool)) == sorted(f"{a}-{b}" for a in range(6) for b in range(1_000))


def _emit_with_exception_at(recorder: Recorder, step: int, opcodes: bool, task_id: str) -> bool:
    """Raises HostTimeout at the n-th line or instruction of our code; False when it has fewer."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if "queuedeck_agent" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = opcodes
        if event == ("opcode" if opcodes else "line"):
            seen += 1
            if seen == step:
                raise HostTimeout
        return trace

    sys.settrace(trace)
    try:
        recorder.emit(started(task_id))
    except HostTimeout:
        return True
    finally:
        sys.settrace(None)
    return seen >= step


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("opcodes", [False, True], ids=["lines", "instructions"])
@pytest.mark.parametrize("rotating", [False, True], ids=["appending", "rotating"])
def test_exception_at_any_point_of_the_hook_reaches_the_task(
    opcodes: bool, rotating: bool, spool: Spool, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_HOST_TYPES", {f"{__name__}.HostTimeout"})
    monkeypatch.setattr(lane, "LARGEST_SEGMENT_BYTES", 16 << 10)
    monkeypatch.setattr(lane, "FIRST_SEGMENT_BYTES", 16 << 10)
    recorder.emit(started("first"))
    step = 0
    recorded: list[str] = []
    while True:
        step += 1
        recorded += _harvest(spool)
        if rotating:
            _fill_segment(recorder)
        if not _emit_with_exception_at(recorder, step, opcodes, f"hit {step}"):
            break
        recorder.emit(started(f"after {step}"))
    assert step > (20 if opcodes else 10)
    recorded += _recorded(spool)
    assert len(recorded) == len(set(recorded)), "nothing twice"
    assert [n for n in recorded if n.startswith("after")] == [f"after {n}" for n in range(1, step)]


def _fill_segment(recorder: Recorder) -> None:
    assert recorder._desk.lane is not None
    segment = recorder._desk.lane.segment
    segment.limit = segment.end + 8


def test_real_signal_passes_through_and_the_append_stays_whole(
    spool: Spool, recorder: Recorder
) -> None:
    def strike(*_: object) -> None:
        raise HostTimeout

    before = signal.signal(signal.SIGALRM, strike)
    number = hits = 0
    for _ in range(1_000):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            for _ in range(500):  # a signal inside a finaliser of Python would end nothing
                number += 1
                recorder.emit(started(str(number)))
        except HostTimeout:
            hits += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    recorder.emit(started("last"))
    recorded = _recorded(spool)
    assert len(recorded) == len(set(recorded))
    assert recorded[-1] == "last"
    assert hits > 500
    assert len(recorded) >= number - hits


def test_async_exception_of_another_thread_passes_through(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The exception is to strike in our frames: not in those of a tracer that another test has
    # imported, nor in those of Python's library, while a new segment is made on a slow disk.
    monkeypatch.delitem(sys.modules, TRACER, raising=False)
    monkeypatch.setattr(lane, "FIRST_SEGMENT_BYTES", 16 << 20)
    recorder.emit(started("first"))
    caught: list[str] = []
    ready, over = threading.Event(), threading.Event()

    def work() -> None:
        try:
            ready.set()
            while not over.is_set():
                recorder.emit(started("x"))
        except HostTimeout:
            caught.append("yes")

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    time.sleep(0.05)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(HostTimeout)
    )
    thread.join(5)
    over.set()  # A thread that goes on would make every later test of this process slow.
    thread.join(5)
    assert caught == ["yes"]


def test_event_of_a_signal_handler_inside_emit_is_recorded(
    spool: Spool, recorder: Recorder
) -> None:
    inner = 0

    def handle(*_: object) -> None:
        nonlocal inner
        inner += 1
        recorder.emit(started(f"inner {inner}"))

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(20_000):
            recorder.emit(started(str(number)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(set(_recorded(spool))) == len(_recorded(spool)) == 20_000 + inner
    assert inner > 5


def test_what_cannot_be_encoded_is_counted_and_not_raised(recorder: Recorder) -> None:
    bad: Any = wire.TaskStarted(1, SOURCE, object(), 1, "n", "w")  # type: ignore[arg-type]
    recorder.emit(bad)
    assert guard.failures.pop("queuedeck_agent.recorder.Recorder.emit") == 1


def _in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_takes_a_lane_of_its_own(spool: Spool, recorder: Recorder) -> None:
    recorder.emit(started("parent"))

    def work() -> None:
        recorder.emit(started("child"))

    os.waitpid(_in_child(work), 0)
    recorder.emit(started("parent again"))
    assert len(spool.lane_ids()) == 2
    assert sorted(_recorded(spool)) == ["child", "parent", "parent again"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fifty_forks_share_few_lanes(spool: Spool, recorder: Recorder) -> None:
    recorder.emit(started("parent"))
    for number in range(50):

        def work(number: int = number) -> None:
            recorder.emit(started(f"child {number}"))
            if number % 5 == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        os.waitpid(_in_child(work), 0)
    assert len(spool.lane_ids()) == 2
    assert len(_recorded(spool)) == 51


def test_lane_is_free_again_after_close(spool: Spool) -> None:
    for number in range(3):
        recorder = Recorder(spool)
        recorder.emit(started(str(number)))
        recorder.close()
    assert len(spool.lane_ids()) == 1
    assert _recorded(spool) == ["0", "1", "2"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("make", [forks.new_mark, forks.Mark], ids=["page", "pid"])
def test_mark_tells_a_fork_that_ran_no_hook(make: Callable[[], forks.Mark | mmap.mmap]) -> None:
    mark = make()

    def work() -> None:
        assert not mark[0]
        mark[0] = 1
        assert mark[0]
        assert os.waitpid(_in_child(work_of_grandchild), 0)[1] == 0
        assert mark[0]

    def work_of_grandchild() -> None:
        assert not mark[0]

    assert os.waitpid(_in_child(work), 0)[1] == 0
    assert mark[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_pid_is_the_childs_own_after_a_fork(recorder: Recorder) -> None:
    assert recorder.pid() == os.getpid()

    def work() -> None:
        assert recorder.pid() == os.getpid()

    assert os.waitpid(_in_child(work), 0)[1] == 0
