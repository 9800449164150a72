# SPDX-License-Identifier: Apache-2.0
"""The mark of each family of worker processes in the spool: what it ran, and whether it lives.

`<spool>/workers/<family>` is locked by the process with the link. Forked children hold the same
open file, so the lock is free only when the last process of the family is gone: the operating
system says so, no clock does. A mark outlives its family for some days, to be asked about.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from queuedeck_agent import system, wire

KEPT_S = 3 * 86_400.0
"""So long the mark of a family that is gone is kept."""
MOST_KEPT = 2_000
"""More marks of the dead than this are not kept; the oldest go first."""
MOST_BYTES = 64 << 10

_DEAD = (
    "No process of {worker} that could have run it is left on {host}: the lock of its mark is free."
)
_EXACT = "The process {pid} of {worker} on {host} is gone: the lock of its mark is free."
_NO_PID = "The process {pid} that ran it is not there any more on {host}, by the operating system."
_ALIVE = "A process of {worker} on {host} that could have run it is alive: it holds its mark."


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a family says of itself, as JSON in its mark."""

    boot: str
    host: str
    pid: int
    pid_space: str
    """The namespace of process ids: ids of two containers are not the same ids."""
    started_us: int
    workers: tuple[tuple[str, str], ...] = ()
    """(source, name of the worker)."""


class Fate(msgspec.Struct, frozen=True):
    """What became of the process that began a task, as far as this host can tell."""

    process: str = ""
    """`alive`, `dead`, or empty: not known here."""
    why: str = ""
    families: tuple[str, ...] = ()
    """The families that it is about: agent ids."""


class _Found(msgspec.Struct, frozen=True):
    family: str
    mark: Mark
    alive: bool


class Marks:
    """The marks of one spool, and the own one."""

    def __init__(self, folder: Path | None, family: str) -> None:
        self._place = folder / "workers" if folder is not None else None
        self._family = family
        self._fd = -1
        self._written = b""

    def keep(self, started_us: int, infos: Iterable[wire.EngineInfo]) -> None:
        """Writes the own mark, if this process is a worker; again when what it runs has changed.
        Raises `OSError` where the disk does not take it."""
        workers = sorted((one.source, one.worker) for one in infos if one.worker)
        if not workers or self._place is None:
            return
        if self._fd < 0:
            self._place.mkdir(mode=0o700, exist_ok=True)
            self._tidy(self._place)
            self._fd = system.try_lock(self._place / self._family, create=True)
        mark = Mark(
            system.boot_id(),
            os.uname().nodename,
            os.getpid(),
            system.pid_space(),
            started_us,
            tuple(workers),
        )
        data = msgspec.json.encode(mark)
        if self._fd >= 0 and data != self._written:
            os.pwrite(self._fd, data.ljust(len(self._written)), 0)
            self._written = data

    def fate(self, source: str, starts: Iterable[wire.StartSeen]) -> Fate:
        """Of all processes that began a task: dead only when every one of them is."""
        fates = [self._fate(source, start) for start in starts]
        families = tuple(sorted({family for one in fates for family in one.families}))
        for process in ("alive", "", "dead"):
            for one in fates:
                if one.process == process:
                    return Fate(process, one.why, families)
        return Fate()

    def _fate(self, source: str, start: wire.StartSeen) -> Fate:
        about = (source, start.worker)
        found = [
            one
            for one in self._all()
            if about in one.mark.workers and one.mark.started_us <= start.at_us
        ]
        if not found:
            return Fate()
        exact = [one for one in found if start.pid and one.mark.pid == start.pid]
        if exact:
            newest = max(exact, key=lambda one: one.mark.started_us)
            return _told("alive" if newest.alive else "dead", [newest], start, exact=True)
        alive = [one for one in found if one.alive]
        if not alive:
            return _told("dead", found, start)
        if start.pid and _is_gone(alive, start):
            text = _NO_PID.format(pid=start.pid, host=alive[0].mark.host)
            return Fate("dead", text, ())
        return _told("alive", alive, start)

    def _all(self) -> Iterator[_Found]:
        place = self._place
        if place is None:
            return
        for name in _names(place):
            path = place / name
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                mark = msgspec.json.decode(path.read_bytes()[:MOST_BYTES], type=Mark)
                is_own = name == self._family
                yield _Found(name, mark, is_own or _is_held(path))

    def _tidy(self, place: Path) -> None:
        oldest = time.time() - KEPT_S
        ages = sorted(_age(place / name) for name in _names(place))
        excess = max(0, len(ages) - MOST_KEPT)
        for index, (at, path) in enumerate(ages):
            if index >= excess and at >= oldest:
                return
            lock = system.try_lock(path)
            if lock >= 0:
                path.unlink(missing_ok=True)
                os.close(lock)


def _told(process: str, found: list[_Found], start: wire.StartSeen, *, exact: bool = False) -> Fate:
    text = _ALIVE if process == "alive" else _EXACT if exact else _DEAD
    host = found[0].mark.host
    families = tuple(one.family for one in found)
    return Fate(process, text.format(pid=start.pid, worker=start.worker, host=host), families)


def _is_gone(alive: list[_Found], start: wire.StartSeen) -> bool:
    """Whether the very process is gone while its name lives on: only its own kernel and namespace
    of ids can tell."""
    here = (system.boot_id(), system.pid_space())
    if not here[1] or any((one.mark.boot, one.mark.pid_space) != here for one in alive):
        return False
    began_us = system.process_began_us(start.pid)
    return began_us is not None and (began_us < 0 or began_us > start.at_us + 1_000_000)


def _is_held(path: Path) -> bool:
    lock = system.try_lock(path)
    if lock >= 0:
        os.close(lock)
    return lock < 0


def _names(place: Path) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208 - names, in one call
    except OSError:
        return []


def _age(path: Path) -> tuple[float, Path]:
    try:
        return path.stat().st_mtime, path
    except OSError:
        return 0.0, path
