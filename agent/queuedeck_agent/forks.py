# SPDX-License-Identifier: Apache-2.0
"""Tells agents of forks. Hooks of `os.register_at_fork` cannot be taken back, so they are few."""

import mmap
import os
import sys
import weakref
from typing import Protocol

from queuedeck_agent.guard import contained


class Follower(Protocol):
    """What wants to know."""

    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


_followers: "weakref.WeakSet[Follower]" = weakref.WeakSet()


def follow(follower: Follower) -> None:
    """Calls it at each fork, as long as it lives."""
    _followers.add(follower)


class Mark:
    """`mark[0]` is true in the process that made it, and false in its forked children, also after
    a fork in C, which runs no hooks of Python. Asking for the pid costs ten times as much."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int) -> int:
        return os.getpid() == self._pid


def new_mark() -> "Mark | mmap.mmap":
    """A page that Linux gives to a child empty; elsewhere the pid."""
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


@contained
def _before() -> None:
    for one in list(_followers):
        one.before_fork()


@contained
def _in_parent() -> None:
    for one in list(_followers):
        one.after_fork_in_parent()


@contained
def _in_child() -> None:
    for one in list(_followers):
        one.after_fork_in_child()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
