# SPDX-License-Identifier: Apache-2.0
"""What commands this host has begun and ended, so that a crash in the middle can be told.

A file in the spool for each family, one line per step: `begin ID` is on disk before anything is
done, `result ID HEX` holds the encoded event, `end ID` says that it was recorded in a lane. It
holds what is open only: it is emptied whenever nothing is.
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from queuedeck_agent import system

_TRIES = 20
"""Another process that looks for what the dead have left holds a new file for a moment."""


class Journal:
    """The journal of this process's link; without a folder nothing of it outlives the process.

    Raises `OSError` wherever the disk does not take what must be on it.
    """

    def __init__(self, folder: Path | None, family: str) -> None:
        self._open: set[str] = set()
        self.file = -1
        """Its descriptor; -1 where nothing is on disk."""
        self._path: Path | None = None
        if folder is not None:
            place = folder / "commands"
            place.mkdir(mode=0o700, exist_ok=True)
            self._path = place / f"{family}.journal"
            self.file = _locked(self._path)
            _sync_folder(place)

    def begin(self, command_id: str) -> None:
        """On disk before the caller acts; raises `OSError` when that cannot be had."""
        before = self._write(f"begin {command_id}\n")
        if self.file >= 0:
            try:
                os.fsync(self.file)
            except OSError:
                _cut(self.file, before)
                raise
        self._open.add(command_id)

    def result(self, command_id: str, event: bytes) -> None:
        """Remembers the outcome before it is recorded as an event."""
        self._write(f"result {command_id} {event.hex()}\n")

    def end(self, command_id: str) -> None:
        """The outcome is in a lane: nothing is left to tell."""
        self._open.discard(command_id)
        if self._open:
            self._write(f"end {command_id}\n")
        elif self.file >= 0:
            os.ftruncate(self.file, 0)

    def close(self) -> None:
        """Another process may read the journal now. One that says nothing is not left behind."""
        if self._path is not None and self.file >= 0 and not self._open:
            with contextlib.suppress(OSError):
                if os.fstat(self.file).st_size == 0:
                    self._path.unlink()
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _write(self, line: str) -> int:
        """Whole or not at all: half a line would spoil the next one. Returns where it begins."""
        if self.file < 0:
            return 0
        before = os.lseek(self.file, 0, os.SEEK_END)
        data = line.encode("ascii")
        try:
            if os.write(self.file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            _cut(self.file, before)
            raise
        return before


def unfinished(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(command id, encoded result or nothing) of commands that a dead process left open.

    Each journal is deleted once the caller has taken all that it holds.
    """
    for path in sorted((folder / "commands").glob("*.journal")):
        try:
            lock = system.try_lock(path)
        except OSError:
            continue
        if lock < 0:
            continue
        try:
            with contextlib.suppress(OSError):
                yield from _open_commands(path.read_text("ascii", "replace"))
                path.unlink()
        finally:
            os.close(lock)


def _open_commands(text: str) -> list[tuple[str, bytes]]:
    found: dict[str, bytes] = {}
    for line in text.splitlines():
        step, _, rest = line.partition(" ")
        command_id, _, value = rest.partition(" ")
        if step == "begin":
            found[command_id] = b""
        elif step == "result" and command_id in found:
            with contextlib.suppress(ValueError):
                found[command_id] = bytes.fromhex(value)
        elif step == "end":
            found.pop(command_id, None)
    return list(found.items())


def _locked(path: Path) -> int:
    for _ in range(_TRIES):
        fd = system.try_lock(path, create=True)
        if fd >= 0:
            return fd
        time.sleep(0.01)
    raise OSError(errno.EAGAIN, f"{path.name} is locked by another process")


def _cut(fd: int, size: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(fd, size)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
