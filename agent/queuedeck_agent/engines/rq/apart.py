# SPDX-License-Identifier: Apache-2.0
"""Runs what needs the application's code in a process like a work horse.

The main process of a worker imports no jobs, and must not begin to: a horse that is forked while a
thread imports a module would inherit that module's lock, and wait for it for ever.
"""

import contextlib
import os
import select
import signal
import struct
import time
from collections.abc import Callable

from queuedeck_agent.errors import CommandRefused

PATIENCE_S = 20
_LENGTH = struct.Struct("!I")
_STEP_S = 0.05
_DIED = "The process that loaded the application's code for this has died. Nothing was done."
_SLOW = f"Loading the application's code took more than {PATIENCE_S} s. Nothing was done."

Work = Callable[[], bytes]


def run(work: Work, forks: bool) -> bytes:
    """What `work` gives. Raises `CommandRefused` when the child died or took too long."""
    if not forks:
        return work()
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _be_the_child(work, writing)
        return _answer_of(child, reading)
    finally:
        os.close(reading)
        os.close(writing)


def _be_the_child(work: Work, writing: int) -> None:
    """Never returns."""
    try:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(one, signal.SIG_DFL)
        signal.alarm(PATIENCE_S)
        answer = work()
        whole = memoryview(_LENGTH.pack(len(answer)) + answer)
        while whole:
            whole = whole[os.write(writing, whole) :]
    finally:
        os._exit(0)


def _answer_of(child: int, reading: int) -> bytes:
    """The end of the pipe says nothing: a horse that is forked meanwhile inherits it."""
    got = b""
    until = time.monotonic() + PATIENCE_S
    has_ended = False
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], _STEP_S)
            if ready:
                got += os.read(reading, 1 << 16)
            if len(got) >= _LENGTH.size + _length_in(got):
                return got[_LENGTH.size :]
            if not ready and (has_ended or time.monotonic() >= until):
                raise CommandRefused("error", _DIED if has_ended else _SLOW)
            has_ended = has_ended or _is_reaped(child)
    finally:
        if not has_ended:
            _end(child)


def _length_in(got: bytes) -> int:
    return _LENGTH.unpack_from(got)[0] if len(got) >= _LENGTH.size else 0


def _is_reaped(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def _end(child: int) -> None:
    """It has nothing more to say."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
