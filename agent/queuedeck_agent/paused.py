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
from queuedeck_agent.errors import CommandRefused

LOOK_AGAIN_S = 0.25
MOST_PAUSES = 1_000
LONGEST_NAME = 1_000
LONGEST_S = 366 * 86_400


class Pause(msgspec.Struct, frozen=True):
    """One paused queue."""

    source: str
    queue: str
    until_us: int = 0
    """0: until somebody resumes it."""
    reason: str = ""


Pauses = dict[tuple[str, str], Pause]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Pause]).decode


class Paused:
    """The paused queues, the same in every process of this spool."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "paused" if folder else None
        self._pauses: Pauses = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._next_look = 0.0
        self._look()

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether (source, queue) must not be taken from now."""
        pause = self._pauses.get(key) if self.may_hold() else None
        return pause is not None and not _is_over(pause)

    def may_hold(self) -> bool:
        """Whether any queue at all may be paused now: False is certain, and cheap."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_AGAIN_S
            self._look()
        return bool(self._pauses)

    def queues(self, source: str) -> frozenset[str]:
        """The names of that source's paused queues, as the file has them now."""
        self._look()
        found = [one for one in self._pauses.values() if one.source == source]
        return frozenset(one.queue for one in found if not _is_over(one))

    def present(self) -> list[Pause]:
        """All of them, as the file has them now."""
        self._look()
        return list(_present(self._pauses).values())

    def add(self, source: str, queue: str, for_s: int = 0, reason: str = "") -> None:
        """Raises `OSError` when it could not be kept for workers that start later, and
        `CommandRefused` when no more can be."""
        until_us = time.time_ns() // 1_000 + min(for_s, LONGEST_S) * 1_000_000 if for_s > 0 else 0
        with self._changing() as pauses:
            pauses[source, queue] = Pause(source, queue, until_us, reason[:500])
            if len(pauses) > MOST_PAUSES or len(queue) > LONGEST_NAME:
                raise CommandRefused(
                    "refused",
                    f"A host keeps {MOST_PAUSES} paused queues at most, with names of up to "
                    f"{LONGEST_NAME} characters.",
                )

    def remove(self, source: str, queue: str) -> bool:
        """Whether it was paused. Raises `OSError` as `add` does."""
        with self._changing() as pauses:
            return pauses.pop((source, queue), None) is not None

    @contextlib.contextmanager
    def _changing(self) -> Generator[Pauses]:
        """What is paused now, to be changed. Two processes of one host may do so at once: one after
        the other. What the disk does not take does not hold in memory either."""
        if self._path is None:
            pauses = _present(self._pauses)
            yield pauses
            self._pauses = pauses
            return
        with system.locked(self._path.with_name("paused.lock")):
            self._look()
            pauses = _present(self._pauses)
            yield pauses
            new = self._path.with_name(f"paused.{os.getpid()}.new")
            new.write_bytes(_encode(list(pauses.values())))
            new.chmod(0o600)
            new.replace(self._path)
            self._pauses = pauses

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


def _present(pauses: Pauses) -> Pauses:
    return {key: one for key, one in pauses.items() if not _is_over(one)}


def _is_over(pause: Pause) -> bool:
    return 0 < pause.until_us <= time.time_ns() // 1_000
