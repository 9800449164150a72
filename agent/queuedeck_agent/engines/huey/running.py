# SPDX-License-Identifier: Apache-2.0
"""What each worker process runs, in memory that it shares with the consumer's main process.

A worker that is killed takes its task along: Huey starts another worker and says nothing. The main
process finds here what the dead one ran.
"""

import mmap
import multiprocessing
from typing import NamedTuple

import msgspec

_SLOT_BYTES = 1024
_LENGTH_BYTES = 2


class Ran(NamedTuple):
    """A task that was running."""

    task_id: str
    attempt: int
    name: str


class Running:
    """One slot for each worker process; nothing for workers that are threads or greenlets."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._slots = 0

    def share(self, workers: int) -> None:
        """Called before the workers are forked."""
        self._slots = workers
        self._memory = mmap.mmap(-1, max(workers, 1) * _SLOT_BYTES)

    def put(self, task_id: str, attempt: int, name: str) -> None:
        """In a worker: it runs this now."""
        start = self._own_start()
        if self._memory is None or start < 0:
            return
        body = msgspec.msgpack.encode(Ran(task_id, attempt, name))
        if len(body) > _SLOT_BYTES - _LENGTH_BYTES:
            return
        self._memory[start + _LENGTH_BYTES : start + _LENGTH_BYTES + len(body)] = body
        self._memory[start : start + _LENGTH_BYTES] = len(body).to_bytes(_LENGTH_BYTES, "big")

    def clear(self) -> None:
        """In a worker: it runs nothing now."""
        start = self._own_start()
        if self._memory is not None and start >= 0:
            self._memory[start : start + _LENGTH_BYTES] = bytes(_LENGTH_BYTES)

    def take(self, slot: int) -> Ran | None:
        """In the main process: what a dead worker ran. The next one finds the slot empty."""
        ran = self._read(slot)
        if self._memory is not None and ran is not None:
            start = slot * _SLOT_BYTES
            self._memory[start : start + _LENGTH_BYTES] = bytes(_LENGTH_BYTES)
        return ran

    def slot_of(self, task_id: str) -> int:
        """In the main process: which worker, counted from 0, runs this task; -1 for none."""
        for slot in range(self._slots):
            ran = self._read(slot)
            if ran is not None and ran.task_id == task_id:
                return slot
        return -1

    def _read(self, slot: int) -> Ran | None:
        if self._memory is None or not 0 <= slot < self._slots:
            return None
        start = slot * _SLOT_BYTES
        length = int.from_bytes(self._memory[start : start + _LENGTH_BYTES], "big")
        if not length:
            return None
        body = self._memory[start + _LENGTH_BYTES : start + _LENGTH_BYTES + length]
        try:
            return msgspec.msgpack.decode(body, type=Ran)
        except msgspec.DecodeError:
            return None

    def _own_start(self) -> int:
        """Huey names its processes `Worker-1`, `Worker-2`, and so on."""
        if self._memory is None:
            return -1
        kind, _, number = multiprocessing.current_process().name.partition("-")
        if kind != "Worker" or not number.isdigit() or not 0 < int(number) <= self._slots:
            return -1
        return (int(number) - 1) * _SLOT_BYTES
