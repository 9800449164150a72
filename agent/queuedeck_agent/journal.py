# SPDX-License-Identifier: Apache-2.0
"""What commands this host has begun and ended: each acts at most once, even over a crash.

A file in the spool for each family, one line per step: `begin ID` is on disk before anything is
done, `result ID HEX` holds the encoded event, `end ID` says that it was recorded in a lane.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from queuedeck_agent import system

REMEMBERED = 10_000
"""Ids kept against replay. Older ones are refused anyway: their nonce is of an old connection."""


class Journal:
    """The journal of this process's link; without a folder it is kept in memory."""

    def __init__(self, folder: Path | None, family: str) -> None:
        self._seen: dict[str, None] = {}
        self._fd = -1
        if folder is not None:
            place = folder / "commands"
            place.mkdir(mode=0o700, exist_ok=True)
            self._fd = system.try_lock(place / f"{family}.journal", create=True)
            if self._fd >= 0:
                self._recall(place / f"{family}.journal")
            _sync_folder(place)

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._seen

    def begin(self, command_id: str) -> None:
        """On disk before the caller acts; raises `OSError` when that cannot be had."""
        self._seen[command_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._write(f"begin {command_id}\n")
        if self._fd >= 0:
            os.fsync(self._fd)

    def result(self, command_id: str, event: bytes) -> None:
        """Remembers the outcome before it is recorded as an event."""
        self._write(f"result {command_id} {event.hex()}\n")

    def end(self, command_id: str) -> None:
        """The outcome is in a lane: nothing is left to tell."""
        self._write(f"end {command_id}\n")

    def close(self) -> None:
        """Another process may read the journal now."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _recall(self, path: Path) -> None:
        for command_id, _ in _open_commands(path.read_text("ascii", "replace"), ended=True):
            self._seen[command_id] = None

    def _write(self, line: str) -> None:
        if self._fd >= 0:
            os.lseek(self._fd, 0, os.SEEK_END)
            os.write(self._fd, line.encode("ascii"))


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


def _open_commands(text: str, ended: bool = False) -> list[tuple[str, bytes]]:
    found: dict[str, bytes] = {}
    for line in text.splitlines():
        step, _, rest = line.partition(" ")
        command_id, _, value = rest.partition(" ")
        if step == "begin":
            found[command_id] = b""
        elif step == "result" and command_id in found:
            with contextlib.suppress(ValueError):
                found[command_id] = bytes.fromhex(value)
        elif step == "end" and not ended:
            found.pop(command_id, None)
    return list(found.items())


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
