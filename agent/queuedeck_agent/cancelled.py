# SPDX-License-Identifier: Apache-2.0
"""Tasks that were cancelled while they waited and must not start: a small file in the spool.

The family's link writes it; pool children, and workers that start later, read it.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

Key = tuple[str, str]

MAX_KEPT = 10_000
"""Newest entries win: older tasks have long been taken or expired."""
LOOK_AGAIN_S = 0.25


class Cancelled:
    """A set of (source, task id), the same in every process of this spool."""

    def __init__(
        self, folder: Path | None, allows: Callable[[str], bool] = lambda _name: True
    ) -> None:
        self._allows = allows
        """Whether the host lets commands touch tasks of a name. The server gives ids only."""
        self._path = folder / "cancelled" if folder else None
        self._keys: dict[Key, None] = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._next_look = 0.0
        self._look()

    def __contains__(self, key: Key) -> bool:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_AGAIN_S
            self._look()
        return key in self._keys

    def stops(self, source: str, task_id: str, name: str) -> bool:
        """Whether that task, which a worker has taken just now, must not start."""
        if time.monotonic() >= self._next_look:
            return (source, task_id) in self and self._allows(name)
        keys = self._keys
        return bool(keys) and (source, task_id) in keys and self._allows(name)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Iterable[Key]) -> None:
        """Adds and persists; called by the link and by adapters."""
        self._look()
        new = [key for key in keys if key not in self._keys]
        if not new:
            return
        self._keys.update(dict.fromkeys(new))
        while len(self._keys) > MAX_KEPT:
            del self._keys[next(iter(self._keys))]
        with contextlib.suppress(OSError):
            self._save()

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            text = self._path.read_text("utf-8", "replace")
        except OSError:
            return
        self._stamp = stamp
        for line in text.splitlines():
            source, tab, task_id = line.partition("\t")
            if tab:
                self._keys[source, task_id] = None

    def _save(self) -> None:
        if self._path is None:
            return
        lines = (f"{source}\t{task_id}\n" for source, task_id in self._keys if _is_plain(task_id))
        new = self._path.with_name(f"cancelled.{os.getpid()}.new")
        new.write_text("".join(lines), "utf-8", "replace")
        new.chmod(0o600)
        new.replace(self._path)


def _is_plain(task_id: str) -> bool:
    return len(task_id.splitlines()) == 1
