# SPDX-License-Identifier: Apache-2.0
"""How much memory this process and its children take, by /proc: some files, no walk over pages."""

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

MOST_CHILDREN = 256
"""Of more, which no pool of processes has, the rest is not asked."""
MOST_THREADS = 64
"""A child belongs to the thread that forked it, so each is asked."""


class Memory(NamedTuple):
    """Resident bytes. 0 and -1 children: the system does not say, as only Linux does."""

    own: int = 0
    children: int = -1
    of_children: int = 0


def used(root: str = "/proc/self") -> Memory:
    """What is resident now. Pages that parent and child share count for each of them."""
    proc = Path(root)
    try:
        own = _resident(proc)
        found = _children(proc)
    except (OSError, ValueError, IndexError):
        return Memory()
    if found is None:
        return Memory(own)
    resident = [_of_child(proc.parent / pid) for pid in found[:MOST_CHILDREN]]
    return Memory(own, len(found), sum(resident))


def _resident(proc: Path) -> int:
    return int((proc / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")


def _children(proc: Path) -> list[str] | None:
    """Their pids; None where the kernel keeps no such list."""
    found: list[str] = []
    listed = False
    for thread in islice((proc / "task").iterdir(), MOST_THREADS):
        try:
            found += (thread / "children").read_text("ascii").split()
            listed = True
        except OSError:  # a thread that has ended meanwhile, or a kernel without the file
            continue
    return found if listed else None


def _of_child(proc: Path) -> int:
    try:
        return _resident(proc)
    except (OSError, ValueError, IndexError):  # it has ended meanwhile
        return 0
