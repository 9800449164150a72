# SPDX-License-Identifier: AGPL-3.0-only
"""Times our hooks inside a worker, from outside of the agent, which has no code for this.

A hook that an engine calls is timed as it is. A step around an engine's method counts without what
that method itself takes: the difference of two timers, the same for coroutines.
"""

import functools
import inspect
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

Method = Callable[..., Any]
wall = time.perf_counter_ns
cpu = time.thread_time_ns

_RECORD = struct.Struct("<qqqq")
_BYTES = 64 * 1024 * 1024
CALL, STEP = "timing a call", "timing a step"
"""What is timed is nothing."""


class Sample(NamedTuple):
    """One call of one hook, in nanoseconds."""

    name: str
    wall: int
    cpu: int
    """Of its thread."""
    began: int
    """By a clock that all processes share."""


class Notes:
    """Samples in a file that is mapped into memory: some workers leave by `os._exit`."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.names: list[str] = []
        self._pid = 0
        self._memory: mmap.mmap | None = None
        self._next = 0

    def register(self, name: str) -> int:
        """The number of a name."""
        self.names.append(name)
        self._pid = 0  # another file with all names; the old one stays
        return len(self.names) - 1

    def add(self, number: int, wall_ns: int, cpu_ns: int, began_ns: int) -> None:
        """Outside of what is timed."""
        if self._pid != os.getpid():
            self._open()
        place = self._next
        if self._memory is None or place + _RECORD.size > _BYTES:
            return
        self._next = place + _RECORD.size
        _RECORD.pack_into(self._memory, place, number + 1, wall_ns, cpu_ns, began_ns)

    def _open(self) -> None:
        self._pid, self._next, self._memory = os.getpid(), 0, None
        if self.folder is None:
            return
        path = self.folder / f"hooks-{self._pid}-{len(self.names)}"
        path.with_suffix(".names").write_text("\n".join(self.names))
        with path.open("wb+") as file:
            file.truncate(_BYTES)
            self._memory = mmap.mmap(file.fileno(), _BYTES)


notes = Notes()


def read(folder: Path) -> Iterator[list[Sample]]:
    """The samples of each process."""
    for path in sorted(folder.glob("hooks-*")):
        if path.suffix:
            continue
        names = path.with_suffix(".names").read_text().split("\n")
        records = _RECORD.iter_unpack(path.read_bytes())
        found: list[Sample] = []
        for number, *times in records:
            if not number:
                break
            found.append(Sample(names[number - 1], *times))
        yield found


def timed(function: Method, name: str) -> Method:
    """A hook that is called. The clock of the CPU is read outside, since that is a system call."""
    number = notes.register(name)
    note = notes.add

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        cpu_before, wall_before = cpu(), wall()
        try:
            return function(*args, **kwargs)
        finally:
            wall_after, cpu_after = wall(), cpu()
            note(number, wall_after - wall_before, cpu_after - cpu_before, wall_before)

    return call


class _Spent:
    """In the engine's own method, during one call of a step."""

    __slots__ = ("cpu", "wall")

    def __init__(self) -> None:
        self.wall = self.cpu = 0


def timed_step(make: Callable[[Method], Method], name: str) -> Callable[[Method], Method]:
    """A step around a method: `make(method)` is what replaces it."""

    def make_timed(original: Method) -> Method:
        spent: ContextVar[_Spent | None] = ContextVar(name, default=None)
        if inspect.iscoroutinefunction(original):
            return _outer_async(make(_inner_async(original, spent)), name, spent)
        return _outer(make(_inner(original, spent)), name, spent)

    return make_timed


def _inner(original: Method, spent: ContextVar[_Spent | None]) -> Method:
    @functools.wraps(original)
    def inner(*args: Any, **kwargs: Any) -> Any:
        cpu_before, wall_before = cpu(), wall()
        try:
            return original(*args, **kwargs)
        finally:
            _spend(spent.get(), wall() - wall_before, cpu() - cpu_before)

    return inner


def _inner_async(original: Method, spent: ContextVar[_Spent | None]) -> Method:
    @functools.wraps(original)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        cpu_before, wall_before = cpu(), wall()
        try:
            return await original(*args, **kwargs)
        finally:
            _spend(spent.get(), wall() - wall_before, cpu() - cpu_before)

    return inner


def _outer(step: Method, name: str, spent: ContextVar[_Spent | None]) -> Method:
    number = notes.register(name)
    note = notes.add

    @functools.wraps(step)
    def outer(*args: Any, **kwargs: Any) -> Any:
        cell = _Spent()
        token = spent.set(cell)
        cpu_before, wall_before = cpu(), wall()
        try:
            return step(*args, **kwargs)
        finally:
            wall_ns, cpu_ns = wall() - wall_before, cpu() - cpu_before
            spent.reset(token)
            note(number, wall_ns - cell.wall, cpu_ns - cell.cpu, wall_before)

    return outer


def _outer_async(step: Method, name: str, spent: ContextVar[_Spent | None]) -> Method:
    number = notes.register(name)
    note = notes.add

    @functools.wraps(step)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        cell = _Spent()
        token = spent.set(cell)
        cpu_before, wall_before = cpu(), wall()
        try:
            return await step(*args, **kwargs)
        finally:
            wall_ns, cpu_ns = wall() - wall_before, cpu() - cpu_before
            spent.reset(token)
            note(number, wall_ns - cell.wall, cpu_ns - cell.cpu, wall_before)

    return outer


def _spend(cell: _Spent | None, wall_ns: int, cpu_ns: int) -> None:
    if cell is not None:
        cell.wall += wall_ns
        cell.cpu += cpu_ns


def calibration() -> Method:
    """A call that times nothing. The task does it once: what timing costs there, with the caches
    as the engine and the network left them, is several times what it costs in a loop."""
    call = timed(lambda: None, CALL)
    step = timed_step(lambda original: lambda: original(), STEP)(lambda: None)

    def both() -> None:
        call()
        step()

    return both
