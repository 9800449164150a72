# SPDX-License-Identifier: Apache-2.0
"""Queues that an operator paused on this host: a small file in the spool.

The family's link writes it; pool children, and workers that start later, read it. A pause with an
end is over at that moment by this host's own clock, whether or not the server is there.
"""

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path

import msgspec

from queuedeck_agent import system

LOOK_AGAIN_S = 0.25


class Pause(msgspec.Struct, frozen=True):
    """One paused queue."""

    source: str
    queue: str
    until_us: int = 0
    """0: until somebody resumes it."""
    reason: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Pause]).decode


class Paused:
    """The paused queues, the same in every process of this spool."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "paused" if folder else None
        self._pauses: dict[tuple[str, str], Pause] = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._next_look = 0.0
        self._look()

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether (source, queue) must not be taken from now."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_AGAIN_S
            self._look()
        pause = self._pauses.get(key)
        return pause is not None and not _is_over(pause)

    def queues(self, source: str) -> frozenset[str]:
        """The names of that source's paused queues, as the file has them now."""
        self._look()
        found = [one for one in self._pauses.values() if one.source == source]
        return frozenset(one.queue for one in found if not _is_over(one))

    def add(self, source: str, queue: str, for_s: int = 0, reason: str = "") -> None:
        """Raises `OSError` when it could not be kept for workers that start later."""
        until_us = time.time_ns() // 1_000 + for_s * 1_000_000 if for_s > 0 else 0
        with self._changing():
            self._pauses[source, queue] = Pause(source, queue, until_us, reason[:500])

    def remove(self, source: str, queue: str) -> bool:
        """Whether it was paused. Raises `OSError` as `add` does."""
        with self._changing():
            found = self._pauses.pop((source, queue), None)
        return found is not None and not _is_over(found)

    @contextlib.contextmanager
    def _changing(self) -> Generator[None]:
        """Two processes of one host may change the file at once: one after the other."""
        if self._path is None:
            yield
            return
        with system.locked(self._path.with_name("paused.lock")):
            self._look()
            yield
            kept = [one for one in self._pauses.values() if not _is_over(one)]
            new = self._path.with_name(f"paused.{os.getpid()}.new")
            new.write_bytes(_encode(kept))
            new.chmod(0o600)
            new.replace(self._path)

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            pauses = _decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return
        self._stamp = stamp
        self._pauses = {(one.source, one.queue): one for one in pauses}


def _is_over(pause: Pause) -> bool:
    return 0 < pause.until_us <= time.time_ns() // 1_000
