# SPDX-License-Identifier: Apache-2.0
"""Tells agents of forks. Hooks of `os.register_at_fork` cannot be taken back, so they are few.

A child shares its parent's memory until it writes there, and in Python reading an object writes
its count of references: each page that is touched first costs microseconds. Where each task has a
process of its own, a child does as little as it can, and frees no memory that it inherited.
"""

import mmap
import os
import sys
import weakref
from functools import partial
from typing import Protocol

from queuedeck_agent.guard import note


class Follower(Protocol):
    """What wants to know."""

    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


_followers: "list[weakref.ref[Follower]]" = []


def follow(follower: Follower) -> None:
    """Calls it at each fork, as long as it lives."""
    _followers[:] = [one for one in _followers if one() is not None]
    _followers.append(weakref.ref(follower))


class Mark:
    """`mark[0]` is true in the process that made it, and false in its forked children, also after
    a fork in C, which runs no hooks of Python. Asking for the pid costs ten times as much."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __setitem__(self, _: int, mark: int) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int) -> int:
        return os.getpid() == self._pid


def new_mark() -> "Mark | mmap.mmap":
    """A page that Linux gives to a child empty, who may mark it for itself; elsewhere the pid."""
    if sys.platform != "linux":
        return Mark()
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except OSError:
        return Mark()
    page[0] = 1
    return page


_WIPE_ON_FORK = 18
"""`MADV_WIPEONFORK`, since Linux 4.14; Python has no name for it."""


def _tell(step: str) -> None:
    for one in _followers:
        try:
            if (follower := one()) is not None:
                getattr(follower, step)()
        except Exception as error:  # noqa: BLE001 - Python would print it, whatever it is
            note(f"{__name__}.{step}", error)


os.register_at_fork(
    before=partial(_tell, "before_fork"),
    after_in_parent=partial(_tell, "after_fork_in_parent"),
    after_in_child=partial(_tell, "after_fork_in_child"),
)
